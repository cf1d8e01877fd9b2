"""Which slides are open in a run, who still has to end them, and how they ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from hema_stream.flow.topology import Topology

KEPT = 10_000
"""Outcomes, and cancellations of slides that were not there yet, which are remembered."""


@dataclass(frozen=True)
class Outcome:
    """How a slide ended: ``done``, ``failed`` or ``cancelled``."""

    status: str
    error: BaseException | None = None


class Slides:
    """The slides of one run.

    Attributes:
        open: stages that a slide has still to pass, by slide.
        leaving: the task that takes leave of a failed or cancelled slide, by slide.
        outcomes: how slides ended; the last ``KEPT`` of them.
    """

    def __init__(self, topology: Topology) -> None:
        self.open: dict[str, set[str]] = {}
        self.leaving: dict[str, asyncio.Task[None]] = {}
        self.outcomes: dict[str, Outcome] = {}
        self._unwanted: dict[str, None] = {}
        self._topology = topology
        self._origins: dict[str, str] = {}
        self._closed = asyncio.Event()

    def is_known(self, slide: str) -> bool:
        """Whether a slide was started before."""
        return slide in self.open or slide in self.outcomes

    def start(self, slide: str, source: str) -> None:
        """Open a slide that is not known; it ends when every stage below its source has passed it on."""
        self.open[slide] = set(self._topology.below(source))
        self._origins[slide] = source

    def passed(self, slide: str, stage: str) -> bool:
        """Note that a stage is through with a slide; returns whether it was the last."""
        waiting = self.open.get(slide)
        if waiting is None or slide in self.leaving:
            return False
        waiting.discard(stage)
        return not waiting

    def inputs(self, slide: str, stage: str) -> frozenset[str]:
        """List the sink pads of a stage that the slide comes by."""
        origin = self._origins.get(slide)
        return self._topology.inputs(origin, stage) if origin is not None else frozenset()

    def before(self, stage: str) -> list[str]:
        """List the slides that a stage is not through with."""
        return [slide for slide, waiting in self.open.items() if stage in waiting and slide not in self.leaving]

    def is_over(self, slide: str) -> bool:
        """Whether a slide has failed, was cancelled or has ended."""
        return slide in self.leaving or slide not in self.open

    def refuse(self, slide: str) -> None:
        """Remember that a slide which is not known yet is not wanted."""
        if slide not in self.outcomes:
            self._unwanted[slide] = None
            _trim(self._unwanted)

    def is_refused(self, slide: str) -> bool:
        """Whether a slide was cancelled before it came; asked once."""
        return self._unwanted.pop(slide, self) is None

    def leave(self, slide: str, work: Coroutine[Any, Any, None]) -> None:
        """Begin to take leave of a slide."""
        self.leaving[slide] = asyncio.get_running_loop().create_task(work, name=f"leave {slide}")

    def end(self, slide: str, outcome: Outcome) -> bool:
        """Enter a slide's outcome; returns whether it was open."""
        self.leaving.pop(slide, None)
        self._origins.pop(slide, None)
        if self.open.pop(slide, None) is None:
            return False
        self.outcomes[slide] = outcome
        _trim(self.outcomes)
        self._closed.set()
        return True

    async def room(self, limit: int, settled: Callable[[], bool]) -> None:
        """Wait until fewer than ``limit`` slides are open (0 is no limit), or nothing more is wanted."""
        while limit and len(self.open) >= limit and not settled():
            self._closed.clear()
            await self._closed.wait()

    def nudge(self) -> None:
        """Let who waits for room look again."""
        self._closed.set()


def _trim(kept: dict[str, Any]) -> None:
    if len(kept) > KEPT:
        del kept[next(iter(kept))]
