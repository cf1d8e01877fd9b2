"""Drives a ``BatchTransform``: one call for rows of several slides, results back to each, and no slide suffers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic, perf_counter
from typing import Any

from hema_stream.flow.batcher import Collector, MicroBatch, Part
from hema_stream.flow.errors import DeadlineExceededError, FlowError, PipelineError, WorkerDiedError
from hema_stream.flow.events import Buffer, CapsEvent, Event
from hema_stream.flow.failures import is_final
from hema_stream.flow.invoke import Outputs
from hema_stream.flow.payload import rows_of
from hema_stream.flow.run import Run
from hema_stream.flow.runner import TURN, Runner
from hema_stream.flow.slide_run import Job, SlideRun
from hema_stream.flow.stage import BatchTransform

GROW_AFTER = 16
TAKES_ALL_DOWN = (DeadlineExceededError, WorkerDiedError)


class BatchRunner(Runner):
    """Collects rows as the ``batch`` stage in front says, without one an item at a time; halves when memory runs out.

    Attributes:
        limit: rows a call, while memory does not allow for more.
    """

    stage: BatchTransform[Any, Any]

    def __init__(self, stage: BatchTransform[Any, Any], run: Run, batch: MicroBatch | None) -> None:
        super().__init__(stage, run)
        self.collector = Collector(batch.max_batch, batch.max_delay) if batch else Collector(1, 0.0)
        self.limit: int | None = None
        self._good = self._failed_at = 0
        self._pressed = False
        run.batchers.append(self._wake_with_rows)

    def is_idle(self) -> bool:
        """Whether nothing is queued, collected or worked on."""
        return super().is_idle() and not self.collector.rows

    async def drive(self) -> None:
        """Collect and work until cancelled."""
        self._pads = list(self.inbound.items())
        turns = 0
        while True:
            while not self.collector.full and (taken := self._take()):
                self._accept(*taken)
                turns += 1
                if not turns % TURN:
                    await asyncio.sleep(0)
            if self.busy < self.executor.workers and self._due():
                self._begin_batch()
                continue
            self._wake.clear()
            if self.is_idle():
                self.run.note_idle()
            ready = not self.run.paused and self.busy < self.executor.workers
            wait = self.collector.wait(monotonic()) if ready else None
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):  # wait_for of Python 3.11 may swallow a cancellation
                    await self._wake.wait()

    def _take(self) -> tuple[str, Event] | None:
        if self.run.paused:
            return None
        return self._next()

    def _wake_with_rows(self) -> None:
        if self.collector.rows:
            self.wake()

    def _due(self) -> bool:
        if self.run.paused or not self.collector.rows:
            return False
        return (
            self.collector.full
            or self._pressed
            or any(slide in self.collector for slide in self._blocked)  # it gives no more before these have left
            or self.collector.wait(monotonic()) == 0
            or (not any(map(len, self.inbound.values())) and self.run.upstream_idle(self.stage.name))
            or self._none_feeds()
        )

    def _none_feeds(self) -> bool:
        """Whether every open slide that has still to pass has given all that it will: its eos is here."""
        before = self.run.slides.before(self.stage.name)
        return all(slide in self.slides and self.slides[slide].closing for slide in before)

    def _most(self) -> int:
        """As many jobs as batches take that are worked on and collected."""
        return max(2 * self.executor.workers * self.collector.max_batch // max(self._active, 1), 1)

    def _gates(self, event: Event) -> bool:
        """Caps change the state that rows are worked on with; a gap or an end only waits for its turn."""
        return isinstance(event, CapsEvent)

    def _accept_control(self, job: Job, run: SlideRun) -> None:
        super()._accept_control(job, run)
        if isinstance(job.event, CapsEvent) and job.event.slide in self.collector:
            self._pressed = True

    def _accept_buffer(self, pad: str, event: Buffer, run: SlideRun) -> None:
        if not rows_of(event.item):
            return
        job = Job(event, pad, rows=rows_of(event.item))
        self._enter(job, run)
        self.collector.add(event.slide, event.item, monotonic(), (run, job))
        self._hold_back(event.slide, run)

    def _begin_batch(self) -> None:
        self._pressed = False
        parts = self.collector.take()
        self.timer.rows += sum(rows_of(part.item) for part in parts)
        self.timer.room += self.collector.max_batch
        for part in parts:
            run, job = part.owner
            job.answers.append([])
            run.call_begins()
        self.busy += 1
        self.spawn(self._work_batch(parts))

    async def _work_batch(self, parts: list[Part]) -> None:
        answers = await self._infer(parts)
        self.busy -= 1
        for part, answer in zip(parts, answers, strict=True):
            run, job = part.owner
            run.call_ends()
            job.answers[part.place] = answer
            job.rows -= rows_of(part.item)
            if not job.rows:  # nothing of its item waits for a batch to come, or is worked on
                self._finish(job, run, Outputs([output for some in job.answers for output in some]))
        self.wake()

    async def _infer(self, parts: list[Part], tries: int = 0) -> list[list[Any]]:
        """Results by part; each is a list, since a part may have been cut to fit. None of a slide that is over."""
        over = {part.slide for part in parts if self.run.slides.is_over(part.slide)}
        if over:
            wanted = [part for part in parts if part.slide not in over]
            answers = iter(await self._infer(wanted, tries) if wanted else ())
            return [[] if part.slide in over else next(answers) for part in parts]
        rows = sum(rows_of(part.item) for part in parts)
        if self.limit is not None and rows > self.limit:
            return await self._pieces(parts, self.limit)
        began = perf_counter()
        try:
            slides, items = [part.slide for part in parts], [part.item for part in parts]
            out = await self.executor.call("batch", "", slides, items, deadline=self.stage.deadline)
            if len(out) != len(parts):
                raise FlowError(f"process_batch() gave {len(out)} results for {len(parts)} items")
        except Exception as error:
            return await self._recover(error, parts, rows, tries)
        finally:
            self._note_call(perf_counter() - began)
            for part in parts:
                self.usage.charge(part.slide, (perf_counter() - began) * rows_of(part.item) / rows)
        self._grow()
        return [[result] for result in out]

    async def _recover(self, error: Exception, parts: list[Part], rows: int, tries: int) -> list[list[Any]]:
        """Go on in smaller pieces, by slide, part by part, or again, as error and policy allow; else judge."""
        if self.stage.is_oom(error):
            if rows > 1:
                self._failed_at, self.limit, self._good = rows, max(rows // 2, 1), 0
                text = f"out of memory at {rows} rows: going on with {self.limit}"
                self.run.warn("", self.stage.name, text)
                return await self._pieces(parts, self.limit)
            return [self._judge(error, part, "out-of-memory") for part in parts]
        if not is_final(error):
            if tries < self.stage.on_error.retries:
                return await self._infer(parts, tries + 1)
            # Whoever caused it is found by itself, and the slides beside it do not notice.
            key = (lambda part: part.slide) if isinstance(error, TAKES_ALL_DOWN) else id
            groups = {key(part): [other for other in parts if key(other) == key(part)] for part in parts}
            if len(groups) > 1:
                found = {id(part): out for group in groups.values() for part, out in await self._with_answers(group)}
                return [found[id(part)] for part in parts]
        return [self._judge(error, part, "") for part in parts]

    async def _with_answers(self, parts: list[Part]) -> list[tuple[Part, list[Any]]]:
        return list(zip(parts, await self._infer(parts), strict=True))

    def _judge(self, error: Exception, part: Part, reason: str) -> list[Any]:
        if self.run.slides.is_over(part.slide) and not isinstance(error, PipelineError):
            return []
        return self.failures.judge(error, part.slide, part.item, reason)

    async def _pieces(self, parts: list[Part], limit: int) -> list[list[Any]]:
        """Work in pieces of at most ``limit`` rows."""
        collector, number_of = Collector(limit, 0.0), {id(part): number for number, part in enumerate(parts)}
        for part in parts:
            collector.add(part.slide, part.item, 0.0, part)
        results: list[list[Any]] = [[] for _ in parts]
        while collector.rows:
            piece = collector.take()
            for cut, out in zip(piece, await self._infer(piece), strict=True):
                results[number_of[id(cut.owner)]] += out
        return results

    def _grow(self) -> None:
        """Let the limit grow back after some good calls, and fall where what failed once is tried again."""
        if self.limit is None:
            return
        self._good += 1
        if self._good >= GROW_AFTER:
            self.limit, self._good = self.limit * 2, 0
            if self.limit >= self._failed_at:
                self.limit = None

    def forget(self, slide: str) -> SlideRun | None:
        """Forget a failed or cancelled slide's rows too."""
        self.collector.drop(slide)
        return super().forget(slide)
