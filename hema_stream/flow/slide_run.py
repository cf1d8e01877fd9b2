"""A slide within one stage: its jobs in the order in which they came, and what it has been told so far."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hema_stream.flow.events import Event
from hema_stream.flow.invoke import Outputs


@dataclass(eq=False)
class Job:
    """One event of a slide being worked on; outputs leave in the order of the jobs.

    Attributes:
        tries: how often the work was tried again.
        rows: how many of its rows a batch has still to answer; answers: results by part, where it was cut.
    """

    event: Event
    pad: str
    outputs: Outputs = field(default_factory=Outputs)
    done: bool = False
    tries: int = 0
    rows: int = 0
    answers: list[list[Any]] = field(default_factory=list)


@dataclass(eq=False)
class SlideRun:
    """A slide within one stage.

    Attributes:
        started: its start was passed on; negotiated, ended: pads that brought caps, and that ended.
        jobs: not yet left, oldest first; emitting: the task that lets them leave.
        gated: control events that wait for their turn, before which nothing more is taken.
        in_flight: calls that have not come back; quiet: set while there is none.
        closing: all its inputs have ended.
        over: the slide was failed or cancelled; its jobs leave no more.
    """

    started: bool = False
    negotiated: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    jobs: deque[Job] = field(default_factory=deque)
    emitting: asyncio.Task[None] | None = None
    gated: int = 0
    in_flight: int = 0
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    closing: bool = False
    over: bool = False

    def call_begins(self) -> None:
        """Note a call in flight."""
        self.in_flight += 1
        self.quiet.clear()

    def call_ends(self) -> None:
        """Note the end of one."""
        self.in_flight -= 1
        if not self.in_flight:
            self.quiet.set()

    def abandon(self) -> list[Outputs]:
        """Let no job leave any more; calls in flight are disowned. Returns what has still to be closed."""
        lazy = [job.outputs for job in self.jobs if job.outputs.rest is not None]
        self.over, self.gated = True, 0
        self.jobs.clear()
        return lazy

    async def settle(self, patience: float = 0.3) -> None:
        """Wait a little for calls in flight; what takes longer is disowned."""
        if self.in_flight:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self.quiet.wait()
