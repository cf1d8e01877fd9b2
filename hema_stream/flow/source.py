"""Drives a source: pulls it only while downstream has room."""

from __future__ import annotations

from typing import Any

from hema_stream.flow.errors import StageError
from hema_stream.flow.events import Buffer, CapsEvent, Eos, StreamStart
from hema_stream.flow.runner import Runner
from hema_stream.flow.stage import Source


class SourceRunner(Runner):
    """One source in a running pipeline."""

    stage: Source

    def __init__(self, stage: Source, pipeline: Any) -> None:
        super().__init__(stage, pipeline)
        self.exhausted = False
        self._ended = self._waiting = False

    @property
    def idle(self) -> bool:
        """Whether nothing more is on its way just now: it has ended, or says that it only waits."""
        return self.exhausted or self._waiting or bool(getattr(self.stage, "waiting", False))

    def end(self) -> None:
        """Take no more from the source."""
        self._ended = True

    async def run(self) -> None:
        """Pass the source's events on until it ends."""
        try:
            async for event in self.stage.stream():
                if self._ended and isinstance(event, StreamStart):
                    break
                await self._pass_on(event)
        except Exception as error:
            self.pipeline.fail(StageError(self.stage.name, None, (), error))
        finally:
            self.exhausted = True
        self.pipeline.note_exhausted(self)

    async def _room(self) -> None:
        """Wait until fewer slides are open than the stage's ``max_open``, if it has one."""
        self._waiting = True
        self.pipeline.note_idle()
        try:
            await self.pipeline.room_for_slide(int(getattr(self.stage, "max_open", 0)))
        finally:
            self._waiting = False

    async def _pass_on(self, event: Any) -> None:
        if isinstance(event, StreamStart):
            await self._room()
            self.pipeline.note_start(event.slide, event.priority)
        elif self.pipeline.is_over(event.slide):
            return
        for link in self.outlet.links.values():
            if isinstance(event, StreamStart):
                link.open(event.slide, event.priority)
            if isinstance(event, Buffer | CapsEvent | Eos | StreamStart) and not link.offer(event):
                await link.put(event)
        if isinstance(event, Eos):
            self.pipeline.note_end(event.slide, self)
