"""Micro-batching: rows of several slides collected for one call, and the call itself."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from time import monotonic, perf_counter
from typing import Any, NamedTuple

from hema_stream.flow.caps import ANY, Caps
from hema_stream.flow.events import Batch, Buffer, CapsEvent, Eos, Event, Part, StreamStart
from hema_stream.flow.invoke import Outputs
from hema_stream.flow.link import SHARED_LANE
from hema_stream.flow.payload import rows_of
from hema_stream.flow.props import prop
from hema_stream.flow.runner import Runner
from hema_stream.flow.slide_run import Job, SlideRun
from hema_stream.flow.stage import BatchTransform, Pad, Stage

GROW_AFTER = 16


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
        elif not self._rows[event.slide]:
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
        """Take out one batch and the control events that stood before what is left."""
        parts: list[Part] = []
        room = self._max_batch
        while self._queue and room:
            event, since = self._queue.popleft()
            if not isinstance(event, Buffer):
                if any(part.slide == event.slide for part in parts):
                    self._queue.appendleft(_Queued(event, since))
                    break
                return [*self._batch(parts, room), event]
            count = rows_of(event.item)
            if count > room:
                self._queue.appendleft(_Queued(Buffer(event.slide, event.item[room:]), since))
                event, count = Buffer(event.slide, event.item[:room]), room
            parts.append(Part(event.slide, event.item))
            room -= count
            self._rows[event.slide] -= count
            self.rows -= count
        return [*self._batch(parts, room), *self._released()]

    def drop(self, slide: str) -> None:
        """Forget a slide."""
        self.rows -= self._rows.pop(slide, 0)
        self._queue = deque(queued for queued in self._queue if queued.event.slide != slide)

    def _batch(self, parts: list[Part], room: int) -> list[Event]:
        return [Batch(SHARED_LANE, parts, self._max_batch - room)] if parts else []

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

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or collected here."""
        return super().idle and not self.collector.rows

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
            wait = self.collector.wait(monotonic())
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue

    def _due(self) -> bool:
        if not self.collector.rows:
            return False
        wait = self.collector.wait(monotonic())
        return self.collector.full or wait == 0 or self.pipeline.upstream_idle(self)

    async def _collect(self, pad: str, event: Event) -> None:
        for hook in self.pipeline.traces:
            hook(self.stage.name, pad, event)
        if self.pipeline.is_over(event.slide):
            return
        run = self.slides.setdefault(event.slide, SlideRun())
        if isinstance(event, StreamStart | CapsEvent):
            key = "start" if isinstance(event, StreamStart) else "caps"
            if key in run.negotiated:
                return
            run.negotiated.add(key)
        if isinstance(event, Eos):
            run.ended.add(pad)
            if not run.ended >= set(self.inbound):
                return
        await self._hand_on(self.collector.add(event, monotonic()))

    async def _hand_on(self, events: Sequence[Event]) -> None:
        link = next(iter(self.outlet.links.values()))
        for event in events:
            if isinstance(event, Batch):
                event.parts = [part for part in event.parts if not self.pipeline.is_over(part.slide)]
                self.timer.add(0.0)
                self.timer.rows += event.rows
                self.timer.room += self.stage.max_batch
                if not event.parts:
                    continue
            elif isinstance(event, Eos):
                self.slides.pop(event.slide, None)
                self.pipeline.note_end(event.slide, self)
            elif isinstance(event, StreamStart):
                link.open(event.slide, event.priority)
            if not link.offer(event):
                await link.put(event)

    async def abandon(self, slide: str, hook: str, args: tuple[Any, ...], last: Any) -> list[tuple[str, Any]]:
        """Forget a failed or cancelled slide's rows."""
        self.collector.drop(slide)
        return await super().abandon(slide, hook, args, [])


class BatchTransformRunner(Runner):
    """Drives a ``BatchTransform``: one call a batch, results back to each slide, halving when memory runs out."""

    stage: BatchTransform[Any, Any]

    def __init__(self, stage: BatchTransform[Any, Any], pipeline: Any) -> None:
        super().__init__(stage, pipeline)
        self.limit: int | None = None
        self._good = 0

    def _accept_batch(self, event: Batch) -> None:
        jobs: list[tuple[SlideRun, Job, Part]] = []
        for part in event.parts:
            if not self.pipeline.is_over(part.slide):
                run = self.slides.setdefault(part.slide, SlideRun())
                job = Job(Buffer(part.slide, part.item), "sink")
                run.begin(job)
                jobs.append((run, job, part))
        if jobs:
            self.busy += 1
            self._spawn(self._work_batch(jobs, event.rows))

    def _hold_back(self, slide: str, run: SlideRun) -> None:
        """All slides share a lane: it is held while too many results wait."""
        waiting = sum(len(r.jobs) for r in self.slides.values())
        if waiting > 64 * self.executor.workers:
            self._blocked.add(SHARED_LANE)
        elif SHARED_LANE in self._blocked:
            self._blocked.discard(SHARED_LANE)
            self.wake()

    async def _work_batch(self, jobs: list[tuple[SlideRun, Job, Part]], rows: int) -> None:
        for run, _, _ in jobs:
            while run.jobs and not isinstance(run.jobs[0].event, Buffer):  # caps under negotiation go before
                run.moved.clear()
                await run.moved.wait()
        results = await self._infer([part for _, _, part in jobs])
        self.busy -= 1
        for (run, job, part), outputs in zip(jobs, results, strict=True):
            run.finish(job, Outputs(outputs))
            self._drain(part.slide, run)
        self.wake()

    async def _infer(self, parts: list[Part]) -> list[list[Any]]:
        """Results by part; each is a list, since a part may have been cut to fit."""
        rows = sum(rows_of(part.item) for part in parts)
        if self.limit is not None and rows > self.limit:
            return await self._halves(parts, self.limit)
        began = perf_counter()
        try:
            items = [part.item for part in parts]
            out = await self.executor.call("batch", "", [p.slide for p in parts], items, deadline=self.stage.deadline)
        except Exception as error:
            return await self._recover(error, parts, rows)
        finally:
            self.timer.add(perf_counter() - began)
        self._grow()
        return [[result] for result in out]

    async def _recover(self, error: Exception, parts: list[Part], rows: int) -> list[list[Any]]:
        if self.stage.is_oom(error) and rows > 1:
            self.limit, self._good = max(rows // 2, 1), 0
            self.pipeline.warn("", self.stage.name, f"out of memory at {rows} rows: going on with {self.limit}")
            return await self._halves(parts, self.limit)
        reason = "out-of-memory" if self.stage.is_oom(error) else ""
        return [self.failures.judge(error, part.slide, part.item, reason) for part in parts]

    async def _halves(self, parts: list[Part], limit: int) -> list[list[Any]]:
        """Work in pieces of at most ``limit`` rows."""
        results: list[list[Any]] = [[] for _ in parts]
        piece: list[tuple[int, Part]] = []
        room = limit
        pieces: list[list[tuple[int, Part]]] = []
        for number, part in enumerate(parts):
            start, total = 0, rows_of(part.item)
            while start < total:
                count = min(room, total - start)
                whole = count == total
                piece.append((number, part if whole else Part(part.slide, part.item[start : start + count])))
                start, room = start + count, room - count
                if not room:
                    pieces.append(piece)
                    piece, room = [], limit
        for numbered in [*pieces, piece] if piece else pieces:
            for (number, _), out in zip(numbered, await self._infer([p for _, p in numbered]), strict=True):
                results[number] += out
        return results

    def _grow(self) -> None:
        """Let the limit grow back after some good calls."""
        if self.limit is not None:
            self._good += 1
            if self._good >= GROW_AFTER:
                self.limit, self._good = self.limit * 2, 0
