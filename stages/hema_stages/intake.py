"""Intake: the source of a pipeline that stays warm; slides are handed in while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from hema_stream.core.slide import InputImage
from hema_stream.flow import Buffer, Caps, CapsEvent, Eos, Event, Source, StreamStart


class Intake(Source):
    """Open each image that is offered as a slide of its own, at once; who offers decides how many are open.

    ``offer``, ``withdraw`` and ``end`` belong to the loop that the pipeline runs on.
    """

    produces = Caps("image/input")

    def __init__(self, name: str = "", **properties: Any) -> None:
        super().__init__(name, **properties)
        self._offered: list[tuple[InputImage, int]] = []
        self._ended = False
        self._arrived = asyncio.Event()

    @property
    def waiting(self) -> bool:
        """Whether nothing is on its way, so that batchers need not wait for more."""
        return not self._offered

    def offer(self, image: InputImage, priority: int = 0) -> None:
        """Hand in an image; its id must be new to the running pipeline."""
        self._offered.append((image, priority))
        self._arrived.set()

    def withdraw(self, slide: str) -> bool:
        """Take an image back; False where it is a slide already, or was never offered."""
        left = [entry for entry in self._offered if entry[0].id != slide]
        found, self._offered = len(left) < len(self._offered), left
        return found

    def end(self) -> None:
        """Offer nothing more; the pipeline drains."""
        self._ended = True
        self._arrived.set()

    async def stream(self) -> AsyncIterator[Event]:
        """Yield each image as a slide of one buffer, until ``end``."""
        while True:
            while self._offered:
                image, priority = self._offered.pop(0)
                yield StreamStart(image.id, priority)
                yield CapsEvent(image.id, Caps("image/input"))
                yield Buffer(image.id, image)
                yield Eos(image.id)
            if self._ended:
                return
            self._arrived.clear()
            await self._arrived.wait()
