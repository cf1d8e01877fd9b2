"""The pipeline: stages, links, states, and what an application does with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from time import monotonic
from typing import Any, Literal, Self

from hema_stream.flow.builtin import Queue
from hema_stream.flow.bus import Bus, Drained, Message, StateChanged
from hema_stream.flow.errors import PipelineError
from hema_stream.flow.executors import GRACE, STOPPING, close_all, open_all, retrieve
from hema_stream.flow.leaving import Leave
from hema_stream.flow.link import Link
from hema_stream.flow.run import Run, Trace
from hema_stream.flow.runner import Runner
from hema_stream.flow.slides import Outcome, Slides
from hema_stream.flow.source import SourceRunner
from hema_stream.flow.stage import Stage
from hema_stream.flow.statistics import LinkStatistics, StageStatistics
from hema_stream.flow.threads import ThreadExecutor
from hema_stream.flow.topology import LinkSpec, Topology
from hema_stream.flow.watchdog import LoopWatchdog
from hema_stream.flow.wiring import wire

State = Literal["null", "ready", "paused", "playing"]
MAX_ITEMS, MAX_BYTES = 64, 16 << 20


class Pipeline:
    """Stages joined by links.

    >>> pipeline = Pipeline(); pipeline.add(source); pipeline.add(sink); pipeline.link("source.src", "sink.sink")
    >>> outcomes = await pipeline.run()
    """

    def __init__(self) -> None:
        self.topology = Topology()
        self.bus = Bus()
        self.state: State = "null"
        self._run = Run(self.topology, self.bus)
        self._run.take_leave = self._take_leave
        self._runners: dict[str, Runner] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._up: asyncio.Task[None] | None = None
        self._down: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._ends = 0.0

    def __getitem__(self, name: str) -> Stage:
        """Look up a stage by name."""
        return self.topology.stages[name]

    @property
    def slides(self) -> Slides:
        """The slides of this run."""
        return self._run.slides

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """How the slides that have ended did."""
        return self._run.slides.outcomes

    @property
    def traces(self) -> list[Trace]:
        """Called with stage, pad and event for every event that a stage takes."""
        return self._run.traces

    @property
    def runners(self) -> dict[str, Runner]:
        """What drives the stages, by name; empty before the start."""
        return self._runners

    @property
    def _links(self) -> dict[LinkSpec, Link]:
        return self._run.links

    def add(self, stage: Stage) -> Stage:
        """Add a stage; its name must be free, and the pipeline not started."""
        self._refuse_when_begun()
        return self.topology.add(stage)

    def link(self, source: str, sink: str, *, max_items: int | None = None, max_bytes: int | None = None) -> None:
        """Link ``stage.pad`` to ``stage.pad``; see ``Topology.link``. A ``queue`` brings its own limits."""
        self._refuse_when_begun()
        queue = self.topology.stages.get(sink.partition(".")[0])
        items, size = MAX_ITEMS, MAX_BYTES
        if isinstance(queue, Queue):
            items, size = queue.max_size_buffers, queue.max_size_bytes
        self.topology.link(source, sink, max_items=max_items or items, max_bytes=max_bytes or size)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Go up null, ready, paused, playing, sinks before sources; a step that fails undoes those before it."""
        self._refuse_when_begun()
        self.topology.check()
        self._up = asyncio.create_task(self._go_up(), name="start")
        try:
            await asyncio.shield(self._up)
        except asyncio.CancelledError:
            self._up.cancel()
            await asyncio.wait({self._up}, timeout=GRACE + 2 * STOPPING)
            raise

    def pause(self) -> None:
        """Take no more of any link or source; what is queued and worked on stays, and nothing is lost."""
        self._refuse_unless_running()
        self._run.paused = True
        self._run.playing.clear()
        self._set("paused")

    def play(self) -> None:
        """Go on."""
        self._refuse_unless_running()
        self._run.paused = False
        self._run.playing.set()
        self._set("playing")
        for runner in self.runners.values():
            runner.wake()

    async def run(self) -> Mapping[str, Outcome]:
        """Start, wait until drained, stop; returns how each slide ended. Raises what failed the pipeline."""
        async with self:
            await self.drain()
        return self.outcomes

    async def drain(self) -> None:
        """Wait until the sources are exhausted and every open slide has ended, or the pipeline was stopped."""
        run = self._run
        while not self._is_drained() and run.failure is None and self._down is None:
            run.settled.clear()
            await run.settled.wait()
        if run.failure is not None:
            raise run.failure
        if self._down is None:
            self.bus.post(Drained())

    async def stop(self, grace: float = GRACE) -> None:
        """Go down: open slides take leave, calls in flight get ``grace`` seconds, then workers are killed or left.

        Every slide that was started has an outcome then, and its ending is on the bus; what would not end is counted
        in a warning. May be called at any time and any number of times: the shortest grace counts, and where it is
        cancelled there is none left.
        """
        if self._up is None:
            return
        if self._down is None:
            self._ends = monotonic() + grace
            self._down = asyncio.create_task(self._go_down(), name="stop")
            self._run.settled.set()
        elif monotonic() + grace < self._ends:
            self._ends = monotonic() + grace
            self._hurry.set()
        try:
            await asyncio.shield(self._down)
        except asyncio.CancelledError:
            self._ends = monotonic()
            self._hurry.set()
            raise

    async def cancel(self, slide: str) -> None:
        """Cancel one slide, also one that has still to be opened; repeats do nothing.

        Nothing of it enters a queue or a batch from now on. Returns when the stages have taken leave of it.
        """
        if not self.slides.is_known(slide):
            self.slides.refuse(slide)
        self._run.leave(slide, Outcome("cancelled"))
        if slide in self.slides.leaving:
            await asyncio.wait({self.slides.leaving[slide]})

    async def cancel_all(self) -> None:
        """Cancel every open slide."""
        await asyncio.gather(*(self.cancel(slide) for slide in list(self.slides.open)))

    def fail(self, error: BaseException) -> None:
        """Fail the pipeline: ``drain`` raises the error."""
        self._run.fail(error)

    def stop_sources(self) -> None:
        """Open no further slide; those that are open go on."""
        for source in self._sources():
            source.end()

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Take the figures of every stage and link as they stand."""
        stages: dict[str, StageStatistics] = {
            name: runner.timer.snapshot(runner.executor.left) for name, runner in self.runners.items()
        }
        links: dict[str, LinkStatistics] = {link.name: link.statistics() for link in self._links.values()}
        return {"stages": stages, "links": links}

    def leftovers(self) -> int:
        """Count what is still in a queue, a worker or a batcher; nothing after a drain."""
        working = sum(runner.busy + len(runner.slides) for runner in self.runners.values())
        return sum(len(link) for link in self._links.values()) + working

    # Up and down.

    async def _go_up(self) -> None:
        self.bus.attach(asyncio.get_running_loop())
        for stage in self.topology.stages.values():
            stage._post = self._post
        runners = wire(self._run)
        sinks_first = list(reversed(self.topology.order()))
        await open_all({name: runners[name].executor for name in sinks_first})
        self._runners = runners
        self._set("ready")
        self.pause()
        self._tasks = [asyncio.create_task(runners[name].drive(), name=name) for name in sinks_first]
        for task in self._tasks:
            task.add_done_callback(self._run.watch)
        self._watchdog = LoopWatchdog(self._run.note_held, self._in_threads)
        self._watchdog.start()
        self.play()

    async def _go_down(self) -> None:
        try:
            if await self._is_up():
                await self._end_slides()
                await self._close_stages()
        finally:
            for runner in self.runners.values():  # where this itself was cancelled nothing has been closed yet
                runner.executor.abandon()
            self._set("null")
            self.bus.close()

    async def _is_up(self) -> bool:
        """Whether the pipeline has come up; where it was still on its way it is turned round."""
        if self._up is not None and not self._up.done():
            self._up.cancel()
            await asyncio.wait({self._up}, timeout=GRACE + 2 * STOPPING)
        return bool(self.runners)

    async def _end_slides(self) -> None:
        """Let open slides take leave, then cancel what is under way; what does not heed is told of and left."""
        run = self._run
        outcome = Outcome("failed", run.failure) if run.failure else Outcome("cancelled")
        for slide in list(self.slides.open):
            run.leave(slide, outcome)
        await self._patiently(self.slides.leaving.values())
        run.stopping = True
        self._watchdog.stop()
        tasks: set[asyncio.Task[Any]] = {*self._tasks, *self.slides.leaving.values()}
        tasks.update(*(runner.under_way() for runner in self.runners.values()))
        for task in tasks:
            task.cancel()
        _, left = await asyncio.wait(tasks, timeout=STOPPING) if tasks else (set(), set())
        for task in left:
            task.add_done_callback(retrieve)
            run.warn("", task.get_name(), "left behind: its task does not heed that it is cancelled")
        for slide in list(self.slides.open):
            run.close(slide, outcome)
        self._set("paused")

    async def _close_stages(self) -> None:
        self._set("ready")
        executors = {name: self.runners[name].executor for name in self.topology.order()}
        closing = asyncio.create_task(close_all(executors, max(self._ends - monotonic(), 0.0)))
        await self._patiently([closing])
        if not closing.done():
            closing.cancel()
            await asyncio.wait({closing}, timeout=STOPPING)
        if closing.done() and not closing.cancelled():
            for name, error in closing.result().items():
                self._run.warn("", name, f"in stopping: {error}")
        for name, executor in executors.items():
            if executor.left:
                self._run.warn("", name, f"left behind: {executor.left} calls that do not end")

    async def _patiently(self, work: Iterable[Awaitable[Any]]) -> None:
        """Wait for work until the grace ends, or is cut short; closing workers has some time on top of it."""
        pending = {asyncio.ensure_future(each) for each in work}
        hurry = asyncio.create_task(self._hurry.wait())
        while pending and not hurry.done():
            left = max(self._ends - monotonic(), 0.0) + 3 * STOPPING * (self.state == "ready")
            done, _ = await asyncio.wait({*pending, hurry}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            pending -= done
            if not done:
                break
        hurry.cancel()

    # Within.

    def _take_leave(self, slide: str, outcome: Outcome) -> Coroutine[Any, Any, None]:
        return Leave(self._run, self.runners, slide, outcome).take()

    def _sources(self) -> list[SourceRunner]:
        return [runner for runner in self.runners.values() if isinstance(runner, SourceRunner)]

    def _is_drained(self) -> bool:
        return not self.slides.open and all(source.exhausted for source in self._sources())

    def _in_threads(self, since: float) -> list[str]:
        """Stages with a call in a thread that began before a moment."""
        began = {
            name: runner.executor.busy_since()
            for name, runner in self.runners.items()
            if isinstance(runner.executor, ThreadExecutor)
        }
        return [name for name, moment in began.items() if moment is not None and moment <= since + 0.1]

    def _refuse_when_begun(self) -> None:
        if self._up is not None:
            raise PipelineError("a pipeline is started once, and nothing is added to it from then on")

    def _refuse_unless_running(self) -> None:
        if not self.runners or self._down is not None:
            raise PipelineError("the pipeline is not running")

    def _post(self, message: Any) -> None:
        if not isinstance(message, Message):
            raise TypeError(f"stages post messages, not {type(message).__name__}")
        self.bus.post(message)

    def _set(self, state: State) -> None:
        self.state = state
        self.bus.post(StateChanged("", state))
