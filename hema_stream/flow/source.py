"""Drives a source: pulls it only while downstream has room."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from hema_stream.flow.errors import FlowError, StageError
from hema_stream.flow.events import Buffer, Eos, Event, StreamStart
from hema_stream.flow.invoke import as_failure
from hema_stream.flow.run import Run
from hema_stream.flow.runner import TURN, Runner
from hema_stream.flow.slide_run import SlideRun
from hema_stream.flow.slides import KEPT, Outcome
from hema_stream.flow.stage import Source

ASIDE, ASIDE_BYTES = 64, 16 << 20
"""Events of slides without room that a source sets aside, all together, so that its other slides go on."""


class SourceRunner(Runner):
    """One source in a run."""

    stage: Source

    def __init__(self, stage: Source, run: Run) -> None:
        super().__init__(stage, run)
        self._done = self._ended = self._waiting = False
        self._unended: set[str] = set()
        self._refused: set[str] = set()
        self._told: set[str] = set()
        self._aside: dict[str, deque[Event]] = {}
        self._events_aside = self._bytes_aside = 0
        self._caught_up = asyncio.Event()

    def is_idle(self) -> bool:
        """Whether nothing more is on its way just now: it has ended, or says that it only waits."""
        waits = self._waiting or bool(getattr(self.stage, "waiting", False))
        return self.exhausted or (waits and not self._aside)

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will come: it has ended, or was told to and has given every slide whole."""
        return self._done or (self._ended and not self._unended)

    def end(self) -> None:
        """Open no further slide; those that are open are taken to their end."""
        self._ended = True
        self.run.exhausted()

    def forget(self, slide: str) -> SlideRun | None:
        """Wait for the rest of a slide no more."""
        self._unended.discard(slide)
        for event in self._aside.pop(slide, ()):
            self._count_aside(event, -1)
        return super().forget(slide)

    async def drive(self) -> None:
        """Pass the source's events on until it ends."""
        try:
            async with aclosing(self._events()) as events:
                async for event in events:
                    await self._pass_on(event)
                    if self.exhausted:
                        break
            while self._aside:
                self._caught_up.clear()
                await self._caught_up.wait()
        except Exception as error:
            self.run.fail(StageError(self.stage.name, None, (), error))
        finally:
            self._done = True
        for slide in list(self._unended):
            lacking = FlowError("the source ended without the slide's eos")
            self.run.fail_slide(slide, StageError(self.stage.name, slide, (), lacking))
        self.run.exhausted()

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
        self.run.note_idle()
        try:
            await self.run.slides.room(int(getattr(self.stage, "max_open", 0)), lambda: self._ended)
        finally:
            self._waiting = False

    async def _pass_on(self, event: Any) -> None:
        if not isinstance(event, Event):
            raise TypeError(f"a source yields events, not {type(event).__name__}")
        if self.run.paused:
            await self.run.playing.wait()
        if isinstance(event, StreamStart) and not await self._open(event):
            return
        slide = event.slide
        if slide not in self._unended:
            self._note_stray(event)
        elif slide in self._aside:
            await self._set_aside(event)
        elif len(self._unended) < 2 or (link := self.outlet.only_link) is None:
            await self._send(event)
        elif not link.offer(event):
            self._aside[slide] = aside = deque([event])
            self._count_aside(event, 1)
            self.spawn(self._catch_up(slide, aside))
        else:
            self._note_entered(event)

    async def _open(self, event: StreamStart) -> bool:
        """Open a slide where there is room; False where it is not to be opened."""
        slide, slides = event.slide, self.run.slides
        if not self._ended:
            await self._room()
        if slides.is_known(slide):
            twice = FlowError("it was started twice; ids are used once a run")
            self._tell(slide, f"slide {slide!r} was started twice; ids are used once a run")
            self.run.fail_slide(slide, StageError(self.stage.name, slide, (), twice))
        if self._ended or slides.is_known(slide):
            self._refused.add(slide)
            return False
        self.run.begin(slide, event.priority, self.stage.name)
        if slides.is_refused(slide):
            self._refused.add(slide)
            self.run.close(slide, Outcome("cancelled"))
            return False
        self._unended.add(slide)
        return True

    def _note_stray(self, event: Event) -> None:
        """Drop what belongs to no slide of this source's; in silence only where the slide was ended before its time."""
        slide, outcome = event.slide, self.run.slides.outcomes.get(event.slide)
        if slide in self._refused:
            if isinstance(event, Eos):
                self._refused.discard(slide)
        elif slide not in self.run.slides.leaving and (outcome is None or outcome.status == "done"):
            known = self.run.slides.is_known(slide)
            self._tell(slide, f"{type(event).__name__} of a slide that {'had its eos' if known else 'was not started'}")

    def _tell(self, slide: str, text: str) -> None:
        """Warn once a slide."""
        if slide not in self._told and len(self._told) < KEPT:
            self._told.add(slide)
            self.run.warn(slide, self.stage.name, text)

    async def _set_aside(self, event: Event) -> None:
        """Let an event wait here, so that other slides pass; the source waits where too much does."""
        while self._events_aside >= ASIDE or self._bytes_aside >= ASIDE_BYTES:
            self._caught_up.clear()
            await self._caught_up.wait()
        if event.slide in self._aside:
            self._aside[event.slide].append(event)
            self._count_aside(event, 1)
        elif not self.run.slides.is_over(event.slide):
            await self._send(event)

    async def _catch_up(self, slide: str, aside: deque[Event]) -> None:
        """Pass on what was set aside of a slide as it finds room."""
        while aside and self._aside.get(slide) is aside:
            await self._send(aside[0])
            if self._aside.get(slide) is aside:
                self._count_aside(aside.popleft(), -1)
        if self._aside.get(slide) is aside:
            del self._aside[slide]
        self._caught_up.set()

    def _count_aside(self, event: Event, sign: int) -> None:
        self._events_aside += sign
        self._bytes_aside += sign * (event.nbytes if isinstance(event, Buffer) else 0)
        self._caught_up.set()

    async def _send(self, event: Event) -> None:
        for link in self.outlet.links.values():
            await link.put(event)
        self._note_entered(event)

    def _note_entered(self, event: Event) -> None:
        if isinstance(event, Eos) and event.slide in self._unended:
            self._unended.discard(event.slide)
            self.run.passed(event.slide, self.stage.name)
