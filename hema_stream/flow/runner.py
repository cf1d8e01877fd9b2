"""Drives one stage: takes events in turn, keeps each slide's order, applies the error policy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter
from typing import Any

from hema_stream.flow.caps import Caps
from hema_stream.flow.errors import NegotiationError, PipelineError
from hema_stream.flow.events import Buffer, CapsEvent, Eos, Event, Gap, GapEvent, StreamStart
from hema_stream.flow.executors import Executor, LoopExecutor
from hema_stream.flow.failures import Failures, is_final
from hema_stream.flow.invoke import Outputs, outputs_of
from hema_stream.flow.link import Link
from hema_stream.flow.outlet import Outlet
from hema_stream.flow.processes import executor_for
from hema_stream.flow.run import Run
from hema_stream.flow.slide_run import Job, SlideRun
from hema_stream.flow.stage import Sink, Stage, template_of
from hema_stream.flow.statistics import CallTimer
from hema_stream.flow.turns import Usage
from hema_stream.flow.watchdog import LIMIT

TURN = 32


class Runner:
    """One stage in a run."""

    def __init__(self, stage: Stage, run: Run) -> None:
        self.stage, self.run = stage, run
        self.inbound: dict[str, Link] = {}
        self.slides: dict[str, SlideRun] = {}
        self.timer = CallTimer()
        self.executor: Executor = executor_for(stage)
        self.executor.on_fault = self._note_fault
        self.failures = Failures(stage, run, self.timer)
        self.outlet = Outlet(stage, self.executor, run)
        self._is_over = run.slides.is_over
        self._is_plain: dict[type, bool] = {}
        self.busy = self._jobs = self._active = 0
        self._wake = asyncio.Event()
        self._pads: list[tuple[str, Link]] = []
        self.usage = Usage()
        self._only_link: Link | None = None
        self._blocked: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._inline = isinstance(self.executor, LoopExecutor)
        self._async = isinstance(stage, Sink) and type(stage).consume is not Sink.consume
        run.idle[stage.name] = self.is_idle

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._wake.set()

    def is_idle(self) -> bool:
        """Whether nothing is queued here and nothing worked on."""
        return not self.busy and not self._jobs and not any(map(len, self.inbound.values()))

    async def drive(self) -> None:
        """Take events until cancelled."""
        self._pads = list(self.inbound.items())
        self._only_link = self.outlet.only_link
        while True:
            for _ in range(TURN):
                if (taken := self._take()) is None:
                    break
                self._accept(*taken)
            else:
                await asyncio.sleep(0)
                continue
            self._wake.clear()
            if self.is_idle():
                self.run.note_idle()
            await self._wake.wait()

    def _take(self) -> tuple[str, Event] | None:
        free = self._inline or self.busy < self.executor.workers
        return self._next() if free and not self.run.paused else None

    def _next(self) -> tuple[str, Event] | None:
        """The next event of any pad: the most urgent slide's, or the one's that has had least."""
        pad, link = self._pads[0] if len(self._pads) == 1 else min(self._pads, key=_rank)
        event = link.pop()
        return None if event is None else (pad, event)

    def _accept(self, pad: str, event: Event) -> None:
        if self.run.traces:
            self.run.trace(self.stage.name, pad, event)
        slide = event.slide
        if self._is_over(slide):
            return
        run = self.slides.get(slide)
        if run is None:
            run = self.slides[slide] = SlideRun()
        if not isinstance(event, Buffer):
            self._accept_control(Job(event, pad, done=True), run)
        elif pad not in run.negotiated:
            self.failures.judge_event(NegotiationError(f"{self.stage.name}.{pad}: an item came before its caps"), event)
        else:
            self._accept_buffer(pad, event, run)

    def _accept_control(self, job: Job, run: SlideRun) -> None:
        if isinstance(job.event, Eos):
            run.closing = run.ended | {job.pad} >= self.run.slides.inputs(job.event.slide, self.stage.name)
        self._enter(job, run)
        run.gated += self._gates(job.event)
        self._drain(job.event.slide, run)

    def _gates(self, event: Event) -> bool:
        """Whether nothing more is taken of a slide before an event had its turn."""
        return True

    def _accept_buffer(self, pad: str, event: Buffer, run: SlideRun) -> None:
        if self._inline and not self._async and not run.jobs:
            self._work_inline(event, pad, run)
            return
        job = Job(event, pad)
        self._begin(job, run)
        self._hold_back(event.slide, run)
        self.spawn(self._work(event, run, job))

    def _enter(self, job: Job, run: SlideRun) -> None:
        run.jobs.append(job)
        self._jobs += 1
        self._active += len(run.jobs) == 1

    def _leave(self, run: SlideRun) -> None:
        """Take out a slide's first job."""
        run.jobs.popleft()
        self._jobs -= 1
        self._active -= not run.jobs

    def _begin(self, job: Job, run: SlideRun) -> None:
        self._enter(job, run)
        run.call_begins()
        self.busy += 1

    def _work_inline(self, event: Buffer, pad: str, run: SlideRun) -> None:
        """The fast way: process here and hand on at once where there is room."""
        began = perf_counter()
        try:
            returned = self.executor.invoker.process(event.slide, event.item, pad)  # type: ignore[attr-defined]
        except Exception as error:
            job = Job(event, pad)
            self._begin(job, run)
            self.spawn(self._work(event, run, job, error))
            return
        finally:
            self._note_call(perf_counter() - began)
        if returned is None:
            return
        link = self._only_link
        if link is not None:
            plain = self._is_plain.get(type(returned))
            if plain is None:
                plain = self._is_plain[type(returned)] = not isinstance(returned, Gap | Caps | list | Iterator)
            if plain and link.offer(Buffer(event.slide, returned)):
                return
        self._enter(Job(event, pad, outputs_of(returned), done=True), run)
        self._drain(event.slide, run)

    def _note_call(self, seconds: float) -> None:
        self.timer.add(seconds)
        if seconds > LIMIT and self._inline and not self._async:
            self.run.note_held(self.stage.name, "loop", seconds)

    async def _work(self, event: Buffer, run: SlideRun, job: Job, error: Exception | None = None) -> None:
        """Work on an item, again where it fails and the policy says so; what is left of it then leaves in its turn."""
        try:
            outcome: Outputs | Exception = error or await self._timed(event, job)
        except Exception as failed:
            outcome = failed
        if isinstance(outcome, Exception):
            outcome = await self._again(event, run, job, outcome)
        if isinstance(outcome, Exception):
            disowned = run.over and not is_final(outcome)
            outcome = Outputs([] if disowned else self.failures.judge(outcome, event.slide, event.item))
        self.busy -= 1
        run.call_ends()
        self._finish(job, run, outcome)
        self.wake()

    def _finish(self, job: Job, run: SlideRun, outputs: Outputs) -> None:
        job.outputs, job.done = outputs, True
        if run.over:
            if outputs.rest is not None:
                self.executor.discard(outputs)
        else:
            self._drain(job.event.slide, run)

    async def _timed(self, event: Buffer, job: Job) -> Outputs:
        began = perf_counter()
        try:
            if self._async:
                await self.executor.consume(event.slide, event.item, self.stage.deadline)  # type: ignore[attr-defined]
                return Outputs()
            given: Outputs = await self.executor.call(
                "process", event.slide, event.item, job.pad, deadline=self.stage.deadline
            )
            return given
        finally:
            self._note_call(perf_counter() - began)
            self.usage.charge(event.slide, perf_counter() - began)

    async def _again(self, event: Buffer, run: SlideRun, job: Job, error: Exception) -> Outputs | Exception:
        """Try again as often as the policy allows; returns what was given, or the last error."""
        while job.tries < self.stage.on_error.retries and not is_final(error) and not run.over:
            job.tries += 1
            try:
                return await self._timed(event, job)
            except Exception as failed:
                error = failed
        return error

    def _drain(self, slide: str, run: SlideRun) -> None:
        """Let finished jobs leave, in order; one task a slide does it."""
        self._hold_back(slide, run)
        if run.emitting is None and run.jobs and run.jobs[0].done:
            run.emitting = self.spawn(self._emit_jobs(slide, run))

    def _most(self) -> int:
        """Jobs of a slide that may be held: all slides together as many as the workers fill twice, and one each."""
        return 1 if self._inline else max(2 * self.executor.workers // max(self._active, 1), 1)

    def _hold_back(self, slide: str, run: SlideRun) -> None:
        """Take no more of a slide while its outputs wait."""
        lazy = bool(run.jobs) and run.jobs[0].outputs.rest is not None
        if not run.over and (run.gated or lazy or len(run.jobs) >= self._most()):
            if slide not in self._blocked:
                self._blocked.add(slide)
                for link in self.inbound.values():
                    link.hold(slide)
        elif slide in self._blocked:
            self._blocked.discard(slide)
            for link in self.inbound.values():
                link.release(slide)
            self.wake()

    async def _emit_jobs(self, slide: str, run: SlideRun) -> None:
        run.call_begins()
        try:
            while run.jobs and (job := run.jobs[0]).done:
                if isinstance(job.event, Buffer):
                    await self._send_job(job, job.event, run)
                else:
                    await self._control(job.event, job.pad, run)
                if run.jobs and run.jobs[0] is job:
                    self._leave(run)
                self._hold_back(slide, run)
        finally:
            run.emitting = None
            run.call_ends()
        if not run.jobs:
            self.wake()

    async def _send_job(self, job: Job, event: Buffer, run: SlideRun) -> None:
        """Send what a job gave. Where a lazy hook fails in mid-course, what has left is not sent again.

        An item of which something has left cannot become a gap any more: its slide fails.
        """
        while True:
            try:
                await self.outlet.send_all(event.slide, job.outputs)
                return
            except Exception as error:
                left = max(job.outputs.sent, job.outputs.again)
                outcome = await self._again(event, run, job, error)
            if isinstance(outcome, Outputs):
                outcome.again, job.outputs = left, outcome
            elif left and not is_final(outcome):
                self.failures.judge_event(outcome, event)
                return
            else:
                instead = self.failures.judge(outcome, event.slide, event.item)
                await self.outlet.send_all(event.slide, Outputs(instead))
                return

    async def _control(self, event: Event, pad: str, run: SlideRun) -> None:
        """Handle a serialized event in its place; what follows it waits."""
        try:
            await self._handle_control(event, pad, run)
        except Exception as error:
            self.failures.judge_event(error, event)
        finally:
            run.gated = max(run.gated - self._gates(event), 0)

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
            if run.ended >= self.run.slides.inputs(slide, self.stage.name):
                await self._end(slide, run)

    async def _negotiate(self, event: CapsEvent, pad: str, run: SlideRun) -> None:
        template = self.stage.sinks.get(pad) or template_of(pad, self.stage.sinks)
        conflict = template and template.caps.conflict(event.caps)
        if conflict:
            raise NegotiationError(f"{self.stage.name}.{pad} cannot take {event.caps!r}: field {conflict!r} differs")
        caps = await self.executor.call("negotiate", event.slide, pad, event.caps, deadline=self.stage.deadline)
        run.negotiated.add(pad)
        if caps is not None and self.stage.sources and not run.over:
            await self.outlet.send_caps(event.slide, caps)

    async def _end(self, slide: str, run: SlideRun) -> None:
        returned = await self.executor.call("finish", slide, deadline=self.stage.deadline)
        await self.outlet.send_all(slide, returned)
        if run.over:  # failed or cancelled meanwhile: the state is for those hooks
            return
        await self.release(slide)
        self.outlet.forward(Eos(slide))
        self.slides.pop(slide, None)
        self._forget_held(slide)
        self.run.passed(slide, self.stage.name)

    async def release(self, slide: str) -> None:
        """Free the stage's state of a slide; where ``close`` raises, that is told and harms nothing else."""
        try:
            await self.executor.release(slide)
        except PipelineError:
            raise
        except Exception as error:
            self.run.warn(slide, self.stage.name, f"close() raised: {error}")

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Work beside the loop that takes events, until the stage is stopped."""
        task = asyncio.get_running_loop().create_task(work, name=self.stage.name)
        self._tasks.add(task)
        task.add_done_callback(self._reap)
        return task

    def _reap(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self.run.watch(task)

    def forget(self, slide: str) -> SlideRun | None:
        """Let go of all that is queued and collected of a failed or cancelled slide, at once."""
        run = self.slides.pop(slide, None)
        for link in self.inbound.values():
            link.purge(slide)
        if run is not None:
            self._jobs -= len(run.jobs)
            self._active -= bool(run.jobs)
            emitted = run.jobs[0].outputs if run.emitting is not None and run.jobs else None
            for outputs in run.abandon():
                if outputs is not emitted:  # that one is closed by the task that sends it
                    self.executor.discard(outputs)
        self._forget_held(slide)
        self.wake()
        return run

    def _forget_held(self, slide: str) -> None:
        if slide in self._blocked:
            self._blocked.discard(slide)
            for link in self.inbound.values():
                link.release(slide)

    def _note_fault(self, error: BaseException) -> None:
        self.run.warn("", self.stage.name, f"close() raised: {error}")

    def under_way(self) -> set[asyncio.Task[Any]]:
        """What works beside; cancelled by whoever stops the run."""
        return set(self._tasks)


def _rank(pad: tuple[str, Link]) -> tuple[int, float]:
    return pad[1].rank()
