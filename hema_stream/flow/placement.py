"""Where a stage's calls run; the stage says it, the runtime provides it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Placement:
    """A resource and how many calls may run on it at once.

    Attributes:
        resource: ``loop``, ``cpu``, ``process`` or ``cuda:N``.
        workers: calls at a time.
    """

    kind: Literal["loop", "thread", "process"]
    resource: str
    workers: int = 1

    def __str__(self) -> str:
        return self.resource if self.kind == "loop" else f"{self.resource} x {self.workers} ({self.kind})"


def loop() -> Placement:
    """On the event loop itself: only for work of microseconds."""
    return Placement("loop", "loop")


def cpu(threads: int = 1) -> Placement:
    """In threads; for calls that release the GIL."""
    return Placement("thread", "cpu", threads)


def process(workers: int = 1) -> Placement:
    """In killable worker processes; for calls that may hang or crash."""
    return Placement("process", "cpu", workers)


def cuda(device: int = 0, streams: int = 1) -> Placement:
    """In threads that own a CUDA device."""
    return Placement("thread", f"cuda:{device}", streams)
