"""Micro-batching: rows of several slides collected for one call."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

from hema_stream.flow.caps import ANY, Caps
from hema_stream.flow.events import Batch, Buffer, CapsEvent, Eos, Event, Part, StreamStart
from hema_stream.flow.link import SHARED_LANE, flushed
from hema_stream.flow.payload import rows_of
from hema_stream.flow.props import prop
from hema_stream.flow.runner import Runner
from hema_stream.flow.slide_run import SlideRun
from hema_stream.flow.stage import Pad, Stage


class MicroBatch(Stage):
    """Collect rows of several slides and tiles into batches of at most ``max_batch`` rows.

    A batch leaves when it is full, when its oldest item is ``max_delay`` old, when nothing more is on its way
    upstream, or at a slide's end where no other open slide can still feed it.
    """

    sinks = {"sink_%u": Pad(Caps(ANY), request=True)}
    sources = {"src": Pad(Caps(ANY))}

    max_batch: int = prop(64, doc="rows a batch", ge=1)
    max_delay: float = prop(0.05, doc="longest wait of an item", unit="s", ge=0.0)


class _Queued(NamedTuple):
    event: Event
    since: float


class Collector:
    """The batcher's decisions, without loop or clock.

    Rows and events of a slide leave in the order in which they came.
    """

    def __init__(self, max_batch: int, max_delay: float) -> None:
        self._max_batch, self._max_delay = max_batch, max_delay
        self._queue: deque[_Queued] = deque()
        self._rows: Counter[str] = Counter()
        self.rows = 0

    def add(self, event: Event, now: float) -> list[Event]:
        """Take an event in; returns those that may leave at once (control events with nothing in front of them)."""
        if isinstance(event, Buffer):
            count = rows_of(event.item)
            if not count:
                return []
            self._rows[event.slide] += count
            self.rows += count
        elif not any(queued.event.slide == event.slide for queued in self._queue):
            return [event]
        self._queue.append(_Queued(event, now))
        return []

    def wait(self, now: float) -> float | None:
        """Seconds until the oldest item is due; None while there is none."""
        return None if not self._queue else max(self._queue[0].since + self._max_delay - now, 0.0)

    @property
    def full(self) -> bool:
        """Whether a whole batch is there."""
        return self.rows >= self._max_batch

    def take(self) -> list[Event]:
        """Take out one batch, and the control events with nothing of their slides left in front of them.

        Rows that stand behind a control event of their slide wait for it to leave; those of other slides fill up.
        """
        parts: list[Part] = []
        kept: deque[_Queued] = deque()
        held: set[str] = set()
        room = self._max_batch
        for queued in self._queue:
            event = queued.event
            if not isinstance(event, Buffer) or event.slide in held or not room:
                held.add(event.slide)
                kept.append(queued)
                continue
            count = min(rows_of(event.item), room)
            item = event.item
            if count < rows_of(item):
                kept.append(_Queued(Buffer(event.slide, item[count:]), queued.since))
                held.add(event.slide)
                item = item[:count]
            parts.append(Part(event.slide, item))
            room -= count
            self._rows[event.slide] -= count
            self.rows -= count
        self._queue = kept
        return [*([Batch(SHARED_LANE, parts)] if parts else []), *self._released()]

    def flush(self, slide: str) -> None:
        """Turn a slide's rows into gaps, each in its place."""
        self.rows -= self._rows.pop(slide, 0)
        self._queue = deque(
            _Queued(flushed(queued.event), queued.since)
            if isinstance(queued.event, Buffer) and queued.event.slide == slide
            else queued
            for queued in self._queue
        )

    def drop(self, slide: str) -> None:
        """Forget a slide."""
        self.rows -= self._rows.pop(slide, 0)
        self._queue = deque(queued for queued in self._queue if queued.event.slide != slide)

    def _released(self) -> list[Event]:
        """Take out control events whose slide has no rows left in front of them."""
        released, kept, rows_before = [], deque[_Queued](), set[str]()
        for queued in self._queue:
            if isinstance(queued.event, Buffer):
                rows_before.add(queued.event.slide)
            elif queued.event.slide not in rows_before:
                released.append(queued.event)
                continue
            kept.append(queued)
        self._queue = kept
        return released


class BatchRunner(Runner):
    """Drives a ``MicroBatch`` stage."""

    stage: MicroBatch

    def __init__(self, stage: MicroBatch, pipeline: Any) -> None:
        super().__init__(stage, pipeline)
        self.collector = Collector(stage.max_batch, stage.max_delay)
        self._outgoing: list[Event] = []

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or collected here, or waits to leave."""
        return super().idle and not self.collector.rows and not self._outgoing

    async def run(self) -> None:
        """Collect and hand on until cancelled."""
        self._turn.extend(self.inbound)
        while True:
            while not self.collector.full and (taken := self._take()):
                await self._collect(*taken)
            if self._due():
                await self._hand_on(self.collector.take())
                continue
            self._wake.clear()
            if self.idle:
                self.pipeline.note_idle()
            wait = None if self.pipeline.paused else self.collector.wait(monotonic())
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):  # wait_for of Python 3.11 may swallow a cancellation
                    await self._wake.wait()

    def _due(self) -> bool:
        if self.pipeline.paused:
            return False
        if not self.collector.rows:
            return self.collector.wait(0.0) is not None  # control events that a flush has left behind
        wait = self.collector.wait(monotonic())
        return self.collector.full or wait == 0 or self.pipeline.upstream_idle(self) or self._none_feeds()

    def _none_feeds(self) -> bool:
        """Whether every open slide that has still to pass has given all that it will: its eos is collected."""
        ended = {slide for slide, run in self.slides.items() if run.closing}
        return all(slide in ended for slide in self.pipeline.slides.before(self.stage.name))

    async def _collect(self, pad: str, event: Event) -> None:
        for hook in self.pipeline.traces:
            hook(self.stage.name, pad, event)
        if self.pipeline.slides.is_over(event.slide):
            return
        run = self.slides.setdefault(event.slide, SlideRun())
        if self._passes(pad, event, run):
            await self._hand_on(self.collector.add(event, monotonic()))

    def _passes(self, pad: str, event: Event, run: SlideRun) -> bool:
        """Whether an event goes on: of several pads' starts, caps and ends one does, and caps that come later do."""
        if isinstance(event, StreamStart):
            first, run.started = not run.started, True
            return first
        if isinstance(event, CapsEvent):
            goes = not run.negotiated or pad in run.negotiated
            run.negotiated.add(pad)
            return goes
        if isinstance(event, Eos):
            run.ended.add(pad)
            run.closing = run.ended >= self.pipeline.slides.inputs(event.slide, self.stage.name)
            return run.closing
        return True

    async def _hand_on(self, events: Sequence[Event]) -> None:
        link = next(iter(self.outlet.links.values()))
        self._outgoing = list(events)
        while self._outgoing:
            event = self._outgoing[0]
            if isinstance(event, Batch):
                self._count(event)
            elif isinstance(event, Eos):
                self.slides.pop(event.slide, None)
            elif isinstance(event, StreamStart):
                link.open(event.slide, event.priority)
            if not link.offer(event):
                await link.put(event)
            if isinstance(event, Eos):
                self.pipeline.note_end(event.slide, self)
            self._outgoing = self._outgoing[1:]

    def _count(self, batch: Batch) -> None:
        self.timer.add(0.0)
        self.timer.rows += batch.rows
        self.timer.room += self.stage.max_batch

    def flush(self, slide: str) -> None:
        """Turn what is collected into gaps too."""
        super().flush(slide)
        self.collector.flush(slide)
        self.wake()

    def forget(self, slide: str) -> SlideRun | None:
        """Forget a failed or cancelled slide's rows too, those of a batch that waits for room among them."""
        self.collector.drop(slide)
        for event in self._outgoing:
            if isinstance(event, Batch):
                event.parts = [part for part in event.parts if part.slide != slide]
        first, rest = self._outgoing[:1], self._outgoing[1:]
        self._outgoing = [*first, *(event for event in rest if event.slide != slide)]
        return super().forget(slide)
