"""Working on batches of several slides: one call a batch, results back to each, smaller pieces where it must be."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from hema_stream.flow.errors import DeadlineExceededError, FlowError, PipelineError, WorkerDiedError
from hema_stream.flow.events import Batch, Buffer, Part
from hema_stream.flow.invoke import Outputs
from hema_stream.flow.link import SHARED_LANE
from hema_stream.flow.payload import rows_of
from hema_stream.flow.runner import Runner
from hema_stream.flow.slide_run import Job, SlideRun
from hema_stream.flow.stage import BatchTransform

GROW_AFTER = 16
HELD = 64

_Work = tuple[SlideRun, Job, Part]


class BatchTransformRunner(Runner):
    """Drives a ``BatchTransform``: halves when memory runs out, and lets no part suffer for another's error."""

    stage: BatchTransform[Any, Any]

    def __init__(self, stage: BatchTransform[Any, Any], pipeline: Any) -> None:
        super().__init__(stage, pipeline)
        self.limit: int | None = None
        self._good = self._failed_at = 0

    def _accept_batch(self, event: Batch) -> None:
        work: list[_Work] = []
        for part in event.parts:
            if not self.pipeline.slides.is_over(part.slide):
                run = self.slides.setdefault(part.slide, SlideRun())
                job = Job(Buffer(part.slide, part.item), "sink")
                run.begin(job)
                work.append((run, job, part))
        if work:
            self.busy += 1
            self.spawn(self._work_batch(work))

    def _hold_back(self, slide: str, run: SlideRun) -> None:
        """All slides share a lane: it is held while too many results wait."""
        waiting = sum(len(r.jobs) for r in self.slides.values())
        if waiting > HELD * self.executor.workers:
            self._blocked.add(SHARED_LANE)
        elif SHARED_LANE in self._blocked:
            self._blocked.discard(SHARED_LANE)
            self.wake()

    async def _work_batch(self, work: list[_Work]) -> None:
        for run, job, _ in work:
            while run.has_caps_before(job):
                run.moved.clear()
                await run.moved.wait()
        wanted = [number for number, (run, _, _) in enumerate(work) if not run.over]
        answers = await self._infer([work[number][2] for number in wanted])
        self.busy -= 1
        outputs = dict(zip(wanted, answers, strict=True))
        for number, (run, job, part) in enumerate(work):
            run.finish(job, Outputs(outputs.get(number, [])))
            self._drain(part.slide, run)
        self.wake()

    async def _infer(self, parts: list[Part], tries: int = 0) -> list[list[Any]]:
        """Results by part; each is a list, since a part may have been cut to fit."""
        if not parts:
            return []
        rows = sum(rows_of(part.item) for part in parts)
        if self.limit is not None and rows > self.limit:
            return await self._pieces(parts, self.limit)
        began = perf_counter()
        try:
            slides, items = [part.slide for part in parts], [part.item for part in parts]
            out = list(await self.executor.call("batch", "", slides, items, deadline=self.stage.deadline))
            if len(out) != len(parts):
                raise FlowError(f"process_batch() gave {len(out)} results for {len(parts)} items")
        except Exception as error:
            return await self._recover(error, parts, rows, tries)
        finally:
            self.timer.add(perf_counter() - began)
        self._grow()
        return [[result] for result in out]

    async def _recover(self, error: Exception, parts: list[Part], rows: int, tries: int) -> list[list[Any]]:
        """Go on in smaller pieces, part by part, or again, as error and policy allow; else judge."""
        if self.stage.is_oom(error):
            if rows > 1:
                self._failed_at, self.limit, self._good = rows, max(rows // 2, 1), 0
                text = f"out of memory at {rows} rows: going on with {self.limit}"
                self.pipeline.warn("", self.stage.name, text)
                return await self._pieces(parts, self.limit)
            return [self._judge(error, part, "out-of-memory") for part in parts]
        if not isinstance(error, PipelineError):
            if tries < self.stage.on_error.retries:
                return await self._infer(parts, tries + 1)
            alone = len(parts) > 1 and not isinstance(error, DeadlineExceededError | WorkerDiedError)
            if alone:  # whoever caused it is found by itself, and the slides beside it do not notice
                return [(await self._infer([part]))[0] for part in parts]
        return [self._judge(error, part, "") for part in parts]

    def _judge(self, error: Exception, part: Part, reason: str) -> list[Any]:
        if self.pipeline.slides.is_over(part.slide) and not isinstance(error, PipelineError):
            return []
        return self.failures.judge(error, part.slide, part.item, reason)

    async def _pieces(self, parts: list[Part], limit: int) -> list[list[Any]]:
        """Work in pieces of at most ``limit`` rows."""
        results: list[list[Any]] = [[] for _ in parts]
        for piece in _cut(parts, limit):
            for (number, _), out in zip(piece, await self._infer([part for _, part in piece]), strict=True):
                results[number] += out
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


def _cut(parts: list[Part], limit: int) -> list[list[tuple[int, Part]]]:
    """Cut numbered parts into pieces of at most ``limit`` rows; one that fits is not touched."""
    pieces: list[list[tuple[int, Part]]] = [[]]
    room = limit
    for number, part in enumerate(parts):
        start, total = 0, rows_of(part.item)
        while start < total:
            if not room:
                pieces.append([])
                room = limit
            count = min(room, total - start)
            piece = part if count == total else Part(part.slide, part.item[start : start + count])
            pieces[-1].append((number, piece))
            start, room = start + count, room - count
    return pieces
