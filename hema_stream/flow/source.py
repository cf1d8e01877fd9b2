"""Drives a source: pulls it only while downstream has room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from hema_stream.flow.errors import FlowError, StageError
from hema_stream.flow.events import Eos, Event, StreamStart
from hema_stream.flow.invoke import as_failure
from hema_stream.flow.runner import TURN, Runner
from hema_stream.flow.slide_run import SlideRun
from hema_stream.flow.stage import Source


class SourceRunner(Runner):
    """One source in a running pipeline."""

    stage: Source

    def __init__(self, stage: Source, pipeline: Any) -> None:
        super().__init__(stage, pipeline)
        self._done = self._ended = self._waiting = False
        self._unended: set[str] = set()
        self._refused: set[str] = set()

    @property
    def idle(self) -> bool:
        """Whether nothing more is on its way just now: it has ended, or says that it only waits."""
        return self.exhausted or self._waiting or bool(getattr(self.stage, "waiting", False))

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will come: it has ended, or was told to and has given every slide whole."""
        return self._done or (self._ended and not self._unended)

    def end(self) -> None:
        """Open no further slide; those that are open are taken to their end."""
        self._ended = True
        self.pipeline.note_exhausted()

    def forget(self, slide: str) -> SlideRun | None:
        """Wait for the rest of a slide no more."""
        self._unended.discard(slide)
        return super().forget(slide)

    async def run(self) -> None:
        """Pass the source's events on until it ends."""
        try:
            async with aclosing(self._events()) as events:
                async for event in events:
                    await self._pass_on(event)
                    if self.exhausted:
                        break
        except Exception as error:
            self.pipeline.fail(StageError(self.stage.name, None, (), error))
        finally:
            self._done = True
        for slide in list(self._unended):
            lacking = FlowError("the source ended without the slide's eos")
            self.pipeline.fail_slide(slide, StageError(self.stage.name, slide, (), lacking))
        self.pipeline.note_exhausted()

    async def _events(self) -> AsyncGenerator[Event, None]:
        """Iterate the source; the others on the loop have their turn, even where it never waits."""
        number = 0
        stream = self.stage.stream()
        try:
            async for event in stream:
                yield event
                number += 1
                if not number % TURN:
                    await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise as_failure(error) from error  # raised by the source itself: nobody has cancelled it
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    async def _room(self) -> None:
        """Wait until fewer slides are open than the stage's ``max_open``, if it has one."""
        self._waiting = True
        self.pipeline.note_idle()
        try:
            await self.pipeline.slides.room(int(getattr(self.stage, "max_open", 0)), lambda: self._ended)
        finally:
            self._waiting = False

    async def _pass_on(self, event: Any) -> None:
        if not isinstance(event, Event):
            raise TypeError(f"a source yields events, not {type(event).__name__}")
        if self.pipeline.paused:
            await self.pipeline.playing()
        if isinstance(event, StreamStart) and not await self._begin(event):
            return
        if event.slide in self._refused or self.pipeline.slides.is_over(event.slide):
            return
        for link in self.outlet.links.values():
            if isinstance(event, StreamStart):
                link.open(event.slide, event.priority)
            if not link.offer(event):
                await link.put(event)
        if isinstance(event, Eos):
            self._unended.discard(event.slide)
            self.pipeline.note_end(event.slide, self)

    async def _begin(self, event: StreamStart) -> bool:
        """Open a slide where there is room; False where none is opened any more."""
        if not self._ended:
            await self._room()
        if self._ended:
            self._refused.add(event.slide)
            return False
        self.pipeline.note_start(event.slide, event.priority, self.stage.name)
        self._unended.add(event.slide)
        return True
