"""The bus: what a pipeline tells its application."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
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


LASTING = 10_000
_LASTING = (StateChanged, SlideEnded, ErrorMessage, Drained)


class Bus:
    """Messages in the order in which they were posted, bounded.

    Progress coalesces: the newest takes the place of the one before, behind what was posted between. Errors, endings
    and states are kept until somebody reads, the last ``LASTING`` of them; of all others no more than ``limit`` are
    kept. The rest is counted as ``overflowed``.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._queue: OrderedDict[Hashable, Message] = OrderedDict()
        self._posted = self._kept = 0
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
        if self._loop is None or here is self._loop:
            self._enter(message)
        elif not self._loop.is_closed():  # a call that was disowned may outlive the pipeline's loop
            self._loop.call_soon_threadsafe(self._enter, message)

    def close(self) -> None:
        """End the iteration once what is queued has been read."""
        self._closed = True
        self._arrived.set()

    def pending(self) -> int:
        """Count what has not been read."""
        return len(self._queue)

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Read messages until the pipeline is stopped."""
        while True:
            while self._queue:
                yield self._next()
            if self._closed:
                return
            self._arrived.clear()
            await self._arrived.wait()

    def _next(self) -> Message:
        _, message = self._queue.popitem(last=False)
        self._kept -= not isinstance(message, Progress)
        return message

    def _enter(self, message: Message) -> None:
        if isinstance(message, Progress):
            key: Hashable = (message.slide, message.stage)
        elif self._kept >= self._limit and not isinstance(message, _LASTING):
            self.overflowed += 1
            return
        else:
            self._posted += 1
            self._kept += 1
            if self._kept > LASTING + self._limit:
                self._next()
                self.overflowed += 1
            key = self._posted
        self._queue[key] = message
        self._queue.move_to_end(key)
        self._arrived.set()
