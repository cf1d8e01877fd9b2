"""Field intake: the source of slides that come field by field while the pipeline runs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from hema_stream.core.field import Field, FieldsPassed, Scan
from hema_stream.flow import Buffer, Caps, CapsEvent, Eos, Event, Source, StreamStart
from hema_stream.flow.events import GapEvent


class FieldIntake(Source):
    """Give fields as they are pushed, a field of each open slide in turn.

    What is pushed waits here without a limit of its own: whoever pushes holds a credit for each field. ``open``,
    ``push``, ``pass_by``, ``close``, ``withdraw`` and ``end`` belong to the loop that the pipeline runs on.
    """

    produces = Caps("image/field")

    def __init__(self, name: str = "", **properties: Any) -> None:
        super().__init__(name, **properties)
        self._slides: dict[str, deque[Event]] = {}
        self._ended = False
        self._arrived = asyncio.Event()

    @property
    def waiting(self) -> bool:
        """Whether nothing is on its way, so that batchers need not wait for more."""
        return not any(self._slides.values())

    def open(self, slide: str, scan: Scan, priority: int = 0) -> None:
        """Begin a slide; its id must be new to the running pipeline."""
        self._slides[slide] = deque(
            [StreamStart(slide, priority), CapsEvent(slide, Caps("image/field", slide_id=slide, scan=scan))]
        )
        self._arrived.set()

    def push(self, slide: str, field: Field) -> None:
        """Hand in a field."""
        self._put(slide, Buffer(slide, field))

    def pass_by(self, slide: str, passed: FieldsPassed) -> None:
        """Hand in a watermark, in its place among the fields."""
        self._put(slide, GapEvent(slide, passed))

    def close(self, slide: str) -> None:
        """Say that nothing of a slide follows."""
        self._put(slide, Eos(slide))

    def withdraw(self, slide: str) -> bool:
        """Forget what waits of a slide; whether it had not begun, so that nothing will tell of its end."""
        waiting = self._slides.pop(slide, None)
        return waiting is not None and bool(waiting) and isinstance(waiting[0], StreamStart)

    def end(self) -> None:
        """Open nothing more; the pipeline drains."""
        self._ended = True
        self._arrived.set()

    async def stream(self) -> AsyncIterator[Event]:
        """Yield what was pushed, slide by slide in turn, until ``end``."""
        while True:
            for slide in list(self._slides):
                events = self._slides.get(slide)
                if events:
                    event = events.popleft()
                    if isinstance(event, Eos):
                        self._slides.pop(slide, None)
                    yield event
            if not self.waiting:
                continue
            if self._ended:
                return
            self._arrived.clear()
            await self._arrived.wait()

    def _put(self, slide: str, event: Event) -> None:
        if slide in self._slides:
            self._slides[slide].append(event)
            self._arrived.set()
