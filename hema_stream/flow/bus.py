"""The bus: what a pipeline tells its application."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Message:
    """Base; ``slide`` is empty where a message concerns none."""

    slide: str = ""


@dataclass(frozen=True)
class StateChanged(Message):
    """The pipeline reached a state: null, ready, paused, playing."""

    state: str = ""


@dataclass(frozen=True)
class SlideEnded(Message):
    """A slide ended: ``done``, ``failed`` or ``cancelled``."""

    outcome: str = "done"
    error: BaseException | None = None


@dataclass(frozen=True)
class ErrorMessage(Message):
    """Something failed; the slide or the pipeline with it, or only a unit."""

    error: BaseException = field(default_factory=Exception)
    stage: str = ""


@dataclass(frozen=True)
class WarningMessage(Message):
    """Something is worth a look; nothing failed."""

    text: str = ""
    stage: str = ""


@dataclass(frozen=True)
class Progress(Message):
    """Where a slide stands; only the newest of a slide and stage is kept."""

    stage: str = ""
    data: Any = None


@dataclass(frozen=True)
class Drained(Message):
    """Every slide has ended and no more will come."""


class Bus:
    """Bounded: progress coalesces and past the limit gaps of units are counted, not kept; endings are never lost."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._kept: deque[Message] = deque()
        self._progress: dict[Hashable, Progress] = {}
        self._arrived = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self.overflowed = 0

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop, so that other threads can post."""
        self._loop = loop

    def post(self, message: Message) -> None:
        """Put a message on the bus; from any thread."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if self._loop is not None and here is not self._loop:
            self._loop.call_soon_threadsafe(self._enter, message)
        else:
            self._enter(message)

    def close(self) -> None:
        """End the iteration once what is queued has been read."""
        self._closed = True
        self._arrived.set()

    def pending(self) -> int:
        """Count what has not been read."""
        return len(self._kept) + len(self._progress)

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Read messages until the pipeline is stopped."""
        while True:
            while self._kept or self._progress:
                yield self._next()
            if self._closed:
                return
            self._arrived.clear()
            await self._arrived.wait()

    def _next(self) -> Message:
        if self._kept:
            return self._kept.popleft()
        return self._progress.pop(next(iter(self._progress)))

    def _enter(self, message: Message) -> None:
        if isinstance(message, Progress):
            self._progress[message.slide, message.stage] = message
        elif len(self._kept) >= self._limit and isinstance(message, WarningMessage):
            self.overflowed += 1
        else:
            self._kept.append(message)
        self._arrived.set()
