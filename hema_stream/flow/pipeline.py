"""The pipeline: stages, links, states, and what an application does with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Literal, Self

import structlog

from hema_stream.flow.batcher import BatchRunner, MicroBatch
from hema_stream.flow.builtin import Queue
from hema_stream.flow.bus import Bus, Drained, ErrorMessage, Message, SlideEnded, StateChanged, WarningMessage
from hema_stream.flow.errors import PipelineError, StageError
from hema_stream.flow.events import Event
from hema_stream.flow.executors import GRACE, close_all, open_all
from hema_stream.flow.leaving import Leave
from hema_stream.flow.link import Leaky, Link
from hema_stream.flow.runner import Runner
from hema_stream.flow.slides import Outcome, Slides
from hema_stream.flow.source import SourceRunner
from hema_stream.flow.stage import Stage
from hema_stream.flow.statistics import LinkStatistics, StageStatistics
from hema_stream.flow.topology import LinkSpec, Topology
from hema_stream.flow.watchdog import LoopWatchdog
from hema_stream.flow.wiring import wire

State = Literal["null", "ready", "paused", "playing"]
Trace = Callable[[str, str, Event], None]
MAX_ITEMS, MAX_BYTES = 64, 16 << 20
_log = structlog.get_logger(__name__)


class Pipeline:
    """Stages joined by links.

    >>> pipeline = Pipeline(); pipeline.add(source); pipeline.add(sink); pipeline.link("source.src", "sink.sink")
    >>> outcomes = await pipeline.run()
    """

    def __init__(self) -> None:
        self.topology = Topology()
        self.bus = Bus()
        self.state: State = "null"
        self.paused = False
        self.traces: list[Trace] = []
        self._runners: dict[str, Runner] = {}
        self.slides = Slides(self.topology)
        self._links: dict[LinkSpec, Link] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None
        self._stopping = False
        self._settled = asyncio.Event()
        self._playing = asyncio.Event()

    def __getitem__(self, name: str) -> Stage:
        """Look up a stage by name."""
        return self.topology.stages[name]

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """How the slides that have ended did."""
        return self.slides.outcomes

    @property
    def runners(self) -> dict[str, Runner]:
        """What drives the stages, by name; empty before the start."""
        return self._runners

    def add(self, stage: Stage) -> Stage:
        """Add a stage; its name must be free."""
        return self.topology.add(stage)

    def link(
        self,
        source: str,
        sink: str,
        *,
        max_items: int | None = None,
        max_bytes: int | None = None,
        leaky: Leaky | None = None,
    ) -> None:
        """Link ``stage.pad`` to ``stage.pad``; see ``Topology.link``. A ``queue`` brings its own limits."""
        stages = self.topology.stages
        queue = stages.get(sink.partition(".")[0])
        own: tuple[int, int, Leaky] = queue.limits if isinstance(queue, Queue) else (MAX_ITEMS, MAX_BYTES, "no")
        if leaky not in (None, "no") and isinstance(stages.get(source.partition(".")[0]), MicroBatch):
            raise PipelineError(f"{source} -> {sink}: batches of several slides may not leak")
        self.topology.link(
            source, sink, max_items=max_items or own[0], max_bytes=max_bytes or own[1], leaky=leaky or own[2]
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Go up null, ready, paused, playing, sinks before sources; a step that fails undoes those before it."""
        if self.state != "null" or self.runners:
            raise PipelineError("a pipeline is started once")
        self.topology.check()
        self.bus.attach(asyncio.get_running_loop())
        for stage in self.topology.stages.values():
            stage._post = self._post
        runners, self._links = wire(self)
        sinks_first = list(reversed(self.topology.order()))
        await open_all({name: runners[name].executor for name in sinks_first})
        self._runners = runners
        self._set("ready")
        self.pause()
        self._tasks = [asyncio.create_task(self.runners[name].run(), name=name) for name in sinks_first]
        for task in self._tasks:
            task.add_done_callback(self.note_task)
        self._watchdog = LoopWatchdog(self.warn)
        self._watchdog.start()
        self.play()

    def pause(self) -> None:
        """Take no more of any link or source; what is queued and worked on stays, and nothing is lost."""
        self.paused = True
        self._playing.clear()
        self._set("paused")

    def play(self) -> None:
        """Go on."""
        self.paused = False
        self._playing.set()
        self._set("playing")
        for runner in self.runners.values():
            runner.wake()

    async def run(self) -> Mapping[str, Outcome]:
        """Start, wait until drained, stop; returns how each slide ended. Raises what failed the pipeline."""
        async with self:
            await self.drain()
        return self.outcomes

    async def drain(self) -> None:
        """Wait until the sources are exhausted and every open slide has ended."""
        while not self._is_drained() and self._failure is None:
            self._settled.clear()
            await self._settled.wait()
        if self._failure is not None:
            raise self._failure
        self.bus.post(Drained())

    async def stop(self, grace: float = GRACE) -> None:
        """Go down: open slides take leave, calls in flight get ``grace`` seconds, then workers are killed or left.

        Every slide that was started has an outcome then, and its ending is on the bus.
        """
        if self.state == "null":
            return
        ends = monotonic() + grace
        outcome = Outcome("failed", self._failure) if self._failure else Outcome("cancelled")
        for slide in list(self.slides.open):
            self._leave(slide, outcome)
        if self.slides.leaving:
            await asyncio.wait(self.slides.leaving.values(), timeout=grace)
        self._stopping = True
        self._watchdog.stop()
        tasks = [*self._tasks, *self.slides.leaving.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for slide in list(self.slides.open):
            self.close_slide(slide, outcome)
        self._set("paused")
        sources_first = self.topology.order()
        for name in sources_first:
            await self.runners[name].stop()
        self._set("ready")
        executors = {name: self.runners[name].executor for name in sources_first}
        for name, error in (await close_all(executors, max(ends - monotonic(), 0.0))).items():
            self.warn("", name, f"in stopping: {error}")
        self._set("null")
        self.bus.close()

    async def cancel(self, slide: str) -> None:
        """Cancel one slide; repeats do nothing.

        Nothing of it enters a queue or a batch from now on. Returns when the stages have taken leave of it.
        """
        self._leave(slide, Outcome("cancelled"))
        if slide in self.slides.leaving:
            await asyncio.wait({self.slides.leaving[slide]})

    def flush(self, slide: str) -> None:
        """Give up what is queued and collected of a slide: each item becomes a gap ``flushed``; the slide goes on."""
        if not self.slides.is_over(slide):
            for runner in self.runners.values():
                runner.flush(slide)

    async def cancel_all(self) -> None:
        """Cancel every open slide."""
        await asyncio.gather(*(self.cancel(slide) for slide in list(self.slides.open)))

    def stop_sources(self) -> None:
        """Open no further slide; those that are open go on."""
        for runner in self.runners.values():
            if isinstance(runner, SourceRunner):
                runner.end()

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Take the figures of every stage and link as they stand."""
        stages: dict[str, StageStatistics] = {name: runner.timer.snapshot() for name, runner in self.runners.items()}
        links: dict[str, LinkStatistics] = {link.name: link.statistics() for link in self._links.values()}
        return {"stages": stages, "links": links}

    def leftovers(self) -> int:
        """Count what is still in a queue, a worker or a batcher; nothing after a drain."""
        queued = sum(len(link) for link in self._links.values())
        working = sum(runner.busy + len(runner.slides) for runner in self.runners.values())
        collected = sum(r.collector.rows for r in self.runners.values() if isinstance(r, BatchRunner))
        return queued + working + collected

    # What runners tell the pipeline.

    async def playing(self) -> None:
        """Wait while the pipeline is paused."""
        await self._playing.wait()

    def note_start(self, slide: str, priority: int, source: str) -> None:
        """A source opened a slide."""
        self.slides.start(slide, source)
        for link in self._links.values():
            link.open(slide, priority)

    def note_end(self, slide: str, runner: Runner) -> None:
        """A stage is through with a slide."""
        if self.slides.passed(slide, runner.stage.name):
            self.close_slide(slide, Outcome("done"))

    def note_exhausted(self) -> None:
        """A source has ended, or was told to."""
        self.note_idle()
        self._settled.set()
        self.slides.nudge()

    def note_idle(self) -> None:
        """A stage has nothing to do; batchers behind it may go."""
        for runner in self.runners.values():
            if isinstance(runner, BatchRunner) and runner.collector.rows:
                runner.wake()

    def note_task(self, task: asyncio.Task[Any]) -> None:
        """A stage's task has ended; with an error, or cancelled by anyone but ``stop``, it fails the pipeline."""
        if not task.cancelled():
            error = task.exception()
        else:
            error = None if self._stopping else PipelineError("its task was cancelled from outside")
        if error is not None:
            self.fail(error if isinstance(error, StageError) else StageError(task.get_name(), None, (), error))

    def upstream_idle(self, runner: Runner) -> bool:
        """Whether nothing that could reach a stage is queued or being worked on."""
        above = self.topology.above(runner.stage.name)
        return not any(map(len, runner.inbound.values())) and all(self.runners[name].idle for name in above)

    def warn(self, slide: str, stage: str, text: str) -> None:
        """Put a warning on the bus and in the log."""
        _log.warning("flow", stage=stage, slide=slide, text=text)
        self.bus.post(WarningMessage(slide, text, stage))

    def fail_slide(self, slide: str, error: BaseException) -> None:
        """Fail one slide; the others do not notice."""
        if not self.slides.is_over(slide):
            self.bus.post(ErrorMessage(slide, error, getattr(error, "stage", "")))
            self._leave(slide, Outcome("failed", error))

    def fail(self, error: BaseException) -> None:
        """Fail the pipeline."""
        if self._failure is None:
            self._failure = error
            self.bus.post(ErrorMessage("", error, getattr(error, "stage", "")))
            self._settled.set()

    def close_slide(self, slide: str, outcome: Outcome) -> None:
        """Enter how a slide ended and tell the application."""
        if self.slides.end(slide, outcome):
            for link in self._links.values():
                link.purge(slide)
            self.bus.post(SlideEnded(slide, outcome.status, outcome.error))
            self._settled.set()

    # Within.

    def _leave(self, slide: str, outcome: Outcome) -> None:
        if not self.slides.is_over(slide):
            hook, args = ("failed", (outcome.error,)) if outcome.status == "failed" else ("cancelled", ())
            self.slides.leave(slide, Leave(self, slide, hook, args).take(outcome))

    def _is_drained(self) -> bool:
        sources = [r for r in self.runners.values() if isinstance(r, SourceRunner)]
        return not self.slides.open and all(source.exhausted for source in sources)

    def _post(self, message: Any) -> None:
        if not isinstance(message, Message):
            raise TypeError(f"stages post messages, not {type(message).__name__}")
        self.bus.post(message)

    def _set(self, state: State) -> None:
        self.state = state
        self.bus.post(StateChanged("", state))
