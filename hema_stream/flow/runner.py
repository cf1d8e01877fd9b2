"""Drives one stage: takes events in turn, keeps each slide's order, applies the error policy."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any

from hema_stream.flow.caps import Caps
from hema_stream.flow.errors import NegotiationError, PipelineError
from hema_stream.flow.events import Batch, Buffer, CapsEvent, Eos, Event, Gap, GapEvent, StreamStart
from hema_stream.flow.executors import Executor, LoopExecutor
from hema_stream.flow.failures import Failures
from hema_stream.flow.invoke import Outputs, outputs_of
from hema_stream.flow.link import Link
from hema_stream.flow.outlet import Outlet
from hema_stream.flow.processes import executor_for
from hema_stream.flow.slide_run import Job, SlideRun
from hema_stream.flow.stage import Sink, Stage, template_of
from hema_stream.flow.statistics import CallTimer

if TYPE_CHECKING:
    from hema_stream.flow.pipeline import Pipeline

TURN = 64


class Runner:
    """One stage in a running pipeline."""

    def __init__(self, stage: Stage, pipeline: Pipeline) -> None:
        self.stage, self.pipeline = stage, pipeline
        self.inbound: dict[str, Link] = {}
        self.slides: dict[str, SlideRun] = {}
        self.timer = CallTimer()
        self.executor: Executor = executor_for(stage)
        self.failures = Failures(stage, pipeline, self.timer)
        self.outlet = Outlet(stage, self.executor, pipeline.slides.is_over)
        self.busy = 0
        self._blocked: set[str] = set()
        self._wake = asyncio.Event()
        self._turn: deque[str] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._inline = isinstance(self.executor, LoopExecutor)
        self._async = isinstance(stage, Sink) and type(stage).consume is not Sink.consume

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._wake.set()

    @property
    def idle(self) -> bool:
        """Whether nothing is queued here and nothing worked on."""
        queued, jobs = map(len, self.inbound.values()), (run.jobs for run in self.slides.values())
        return not self.busy and not any(queued) and not any(jobs)

    async def run(self) -> None:
        """Take events until cancelled."""
        self._turn.extend(self.inbound)
        while True:
            for _ in range(TURN):
                if (taken := self._take()) is None:
                    break
                self._accept(*taken)
            else:
                await asyncio.sleep(0)
                continue
            self._wake.clear()
            if self.idle:
                self.pipeline.note_idle()
            await self._wake.wait()

    def _take(self) -> tuple[str, Event] | None:
        if self.pipeline.paused:
            return None
        free = self._inline or self.busy < self.executor.workers
        for _ in range(len(self._turn)):
            pad = self._turn[0]
            self._turn.rotate(-1)
            event = self.inbound[pad].pop(self._blocked, free)
            if event is not None:
                return pad, event
        return None

    def _accept(self, pad: str, event: Event) -> None:
        for hook in self.pipeline.traces:
            hook(self.stage.name, pad, event)
        if isinstance(event, Batch):
            self._accept_batch(event)
            return
        if self.pipeline.slides.is_over(event.slide):
            return
        run = self.slides.setdefault(event.slide, SlideRun())
        if not isinstance(event, Buffer):
            run.jobs.append(Job(event, pad, done=True))
            run.gated = True
            self._drain(event.slide, run)
        elif pad not in run.negotiated:
            self.failures.judge_event(NegotiationError(f"{self.stage.name}.{pad}: an item came before its caps"), event)
        elif self._inline and not self._async and not run.jobs:
            self._work_inline(event, pad, run)
        else:
            job = Job(event, pad)
            run.begin(job)
            self.busy += 1
            self._hold_back(event.slide, run)
            self.spawn(self._work(event, pad, run, job))

    def _accept_batch(self, event: Batch) -> None:
        raise PipelineError(f"{self.stage.name}: a batch of several slides came to a stage that is no BatchTransform")

    def _work_inline(self, event: Buffer, pad: str, run: SlideRun) -> None:
        """The fast way: process here and hand on at once where there is room."""
        began = perf_counter()
        try:
            returned = self.executor.invoker.process(event.slide, event.item, pad)  # type: ignore[attr-defined]
        except Exception as error:
            job = Job(event, pad)
            run.begin(job)
            self.busy += 1
            self.spawn(self._after_failure(error, event, pad, run, job, 0))
            return
        finally:
            self.timer.add(perf_counter() - began)
        if returned is None:
            return
        link = self.outlet.only_link
        plain = not isinstance(returned, Gap | Caps | list | Iterator)
        if link is not None and plain and link.offer(Buffer(event.slide, returned)):
            return
        run.jobs.append(Job(event, pad, outputs_of(returned), done=True))
        self._drain(event.slide, run)

    async def _work(self, event: Buffer, pad: str, run: SlideRun, job: Job) -> None:
        try:
            returned = await self._timed(event, pad)
        except Exception as error:
            await self._after_failure(error, event, pad, run, job, 0)
        else:
            self._finish_job(event.slide, run, job, returned)

    async def _timed(self, event: Buffer, pad: str) -> Outputs:
        began = perf_counter()
        try:
            if self._async:
                await self.executor.consume(event.slide, event.item, self.stage.deadline)  # type: ignore[attr-defined]
                return Outputs()
            given: Outputs = await self.executor.call(
                "process", event.slide, event.item, pad, deadline=self.stage.deadline
            )
            return given
        finally:
            self.timer.add(perf_counter() - began)

    async def _after_failure(
        self, error: Exception, event: Buffer, pad: str, run: SlideRun, job: Job, tries: int
    ) -> None:
        """Do as the stage's policy says: try again, leave a gap, fail the slide or the pipeline."""
        policy = self.stage.on_error
        while tries < policy.retries and not isinstance(error, PipelineError) and not run.over:
            tries += 1
            try:
                self._finish_job(event.slide, run, job, await self._timed(event, pad))
                return
            except Exception as again:
                error = again
        disowned = run.over and not isinstance(error, PipelineError)
        instead = [] if disowned else self.failures.judge(error, event.slide, event.item)
        self._finish_job(event.slide, run, job, Outputs(instead))

    def _finish_job(self, slide: str, run: SlideRun, job: Job, outputs: Outputs) -> None:
        run.finish(job, outputs)
        self.busy -= 1
        self._drain(slide, run)
        self.wake()

    def _drain(self, slide: str, run: SlideRun) -> None:
        """Let finished jobs leave, in order; one task a slide does it."""
        self._hold_back(slide, run)
        if run.emitting is None and run.jobs and (run.jobs[0].done or not self.stage.ordered):
            run.emitting = self.spawn(self._emit_jobs(slide, run))

    def _hold_back(self, slide: str, run: SlideRun) -> None:
        """Take no more of a slide while its outputs wait; results held are bounded by the workers.

        A sink that awaits gets one item of a slide at a time: two at once could end in either order.
        """
        lazy = any(job.outputs.rest is not None for job in run.jobs)
        most = 1 if self._async else 2 * self.executor.workers
        if not run.over and (run.gated or lazy or len(run.jobs) >= most):
            self._blocked.add(slide)
        elif slide in self._blocked:
            self._blocked.discard(slide)
            self.wake()

    async def _emit_jobs(self, slide: str, run: SlideRun) -> None:
        run.call_begins()
        try:
            while job := run.next_job(self.stage.ordered):
                if isinstance(job.event, Buffer):
                    await self._send_job(job, job.event)
                else:
                    await self._control(job.event, job.pad, run)
                if job in run.jobs:
                    run.jobs.remove(job)
                run.moved.set()
                self._hold_back(slide, run)
        finally:
            run.emitting = None
            run.call_ends()
        if run.jobs and run.next_job(self.stage.ordered):
            self._drain(slide, run)
        if not run.jobs:
            self.wake()

    async def _send_job(self, job: Job, event: Buffer) -> None:
        try:
            await self.outlet.send_all(event.slide, job.outputs)
        except Exception as error:  # raised by a lazy hook in mid-course
            await self.outlet.send_all(event.slide, Outputs(self.failures.judge(error, event.slide, event.item)))

    async def _control(self, event: Event, pad: str, run: SlideRun) -> None:
        """Handle a serialized event in its place; what follows it waits."""
        try:
            await self._handle_control(event, pad, run)
        except Exception as error:
            self.failures.judge_event(error, event)
        finally:
            run.gated = run.has_control_after(event)
            self._hold_back(event.slide, run)

    async def _handle_control(self, event: Event, pad: str, run: SlideRun) -> None:
        slide = event.slide
        if isinstance(event, StreamStart):
            if not run.started:
                run.started = True
                self.outlet.forward(StreamStart(slide, event.priority))
        elif isinstance(event, CapsEvent):
            await self._negotiate(event, pad, run)
        elif isinstance(event, GapEvent):
            returned = await self.executor.call("gap", slide, event.gap, deadline=self.stage.deadline)
            await self.outlet.send_all(slide, returned)
        elif isinstance(event, Eos):
            run.ended.add(pad)
            if run.ended >= self.pipeline.slides.inputs(slide, self.stage.name):
                await self._end(slide, run)

    async def _negotiate(self, event: CapsEvent, pad: str, run: SlideRun) -> None:
        template = self.stage.sinks.get(pad) or template_of(pad, self.stage.sinks)
        conflict = template and template.caps.conflict(event.caps)
        if conflict:
            raise NegotiationError(f"{self.stage.name}.{pad} cannot take {event.caps!r}: field {conflict!r} differs")
        caps = await self.executor.call("negotiate", event.slide, pad, event.caps, deadline=self.stage.deadline)
        run.negotiated.add(pad)
        if caps is not None and self.stage.sources and not run.over:
            self.outlet.send_caps(event.slide, caps)

    async def _end(self, slide: str, run: SlideRun) -> None:
        returned = await self.executor.call("finish", slide, deadline=self.stage.deadline)
        await self.outlet.send_all(slide, returned)
        if run.over:  # failed or cancelled meanwhile: the state is for those hooks
            return
        await self.executor.release(slide)
        self.outlet.forward(Eos(slide))
        self.slides.pop(slide, None)
        self._blocked.discard(slide)
        self.pipeline.note_end(slide, self)

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Work beside the loop that takes events, until the stage is stopped."""
        task = asyncio.get_running_loop().create_task(work, name=self.stage.name)
        self._tasks.add(task)
        task.add_done_callback(self._reap)
        return task

    def _reap(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self.pipeline.note_task(task)

    def flush(self, slide: str) -> None:
        """Turn what is queued of a slide into gaps, at once."""
        for link in self.inbound.values():
            link.flush(slide)

    def forget(self, slide: str) -> SlideRun | None:
        """Let go of all that is queued and collected of a failed or cancelled slide, at once."""
        run = self.slides.pop(slide, None)
        for link in self.inbound.values():
            link.purge(slide)
        if run is not None:
            run.abandon()
        self._blocked.discard(slide)
        self.wake()
        return run

    async def stop(self) -> None:
        """Cancel everything under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
