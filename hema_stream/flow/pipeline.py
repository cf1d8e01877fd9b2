"""The pipeline: stages, links, states, and what an application does with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import structlog

from hema_stream.flow.batcher import BatchRunner, BatchTransformRunner, MicroBatch
from hema_stream.flow.bus import Bus, Drained, ErrorMessage, Message, SlideEnded, StateChanged, WarningMessage
from hema_stream.flow.errors import PipelineError
from hema_stream.flow.events import Event
from hema_stream.flow.link import Leaky, Link
from hema_stream.flow.runner import Runner
from hema_stream.flow.source import SourceRunner
from hema_stream.flow.stage import BatchTransform, Source, Stage
from hema_stream.flow.statistics import LinkStatistics, StageStatistics
from hema_stream.flow.topology import LinkSpec, Topology
from hema_stream.flow.watchdog import LoopWatchdog

State = Literal["null", "ready", "paused", "playing"]
Trace = Callable[[str, str, Event], None]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a slide ended: ``done``, ``failed`` or ``cancelled``."""

    status: str
    error: BaseException | None = None


class Pipeline:
    """Stages joined by links.

    >>> pipeline = Pipeline(); pipeline.add(source); pipeline.add(sink); pipeline.link("source.src", "sink.sink")
    >>> outcomes = await pipeline.run()
    """

    def __init__(self) -> None:
        self.topology = Topology()
        self.bus = Bus()
        self.state: State = "null"
        self.traces: list[Trace] = []
        self.outcomes: dict[str, Outcome] = {}
        self._runners: dict[str, Runner] = {}
        self._links: dict[LinkSpec, Link] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._open: dict[str, set[str]] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._failure: BaseException | None = None
        self._settled = asyncio.Event()
        self._closed = asyncio.Event()
        self._holders: set[str] = set()

    def __getitem__(self, name: str) -> Stage:
        """Look up a stage by name."""
        return self.topology.stages[name]

    def add(self, stage: Stage) -> Stage:
        """Add a stage; its name must be free."""
        return self.topology.add(stage)

    def link(
        self, source: str, sink: str, *, max_items: int = 64, max_bytes: int = 256 << 20, leaky: Leaky = "no"
    ) -> None:
        """Link ``stage.pad`` to ``stage.pad``; see ``Topology.link``."""
        self.topology.link(source, sink, max_items=max_items, max_bytes=max_bytes, leaky=leaky)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Go up null, ready, paused, playing; a step that fails undoes those before it."""
        self.topology.check()
        self.bus.attach(asyncio.get_running_loop())
        self._build()
        await self._open_stages()
        self._set("ready")
        self._set("paused")
        downstream_first = reversed(self.topology.order())
        self._tasks = [asyncio.create_task(self._runners[name].run(), name=name) for name in downstream_first]
        for task in self._tasks:
            task.add_done_callback(self._runner_ended)
        self._watchdog = LoopWatchdog(self.warn)
        self._watchdog.start(self._take_holders)
        self._set("playing")

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

    async def stop(self, grace: float = 5.0) -> None:
        """Go down; calls in flight get ``grace`` seconds, then their workers are killed or left behind."""
        if self.state == "null":
            return
        self._watchdog.stop()
        leaving = list(self._leaving.values())
        if leaving:
            await asyncio.wait(leaving, timeout=grace)
        for task in [*self._tasks, *leaving]:
            task.cancel()
        await asyncio.gather(*self._tasks, *leaving, return_exceptions=True)
        self._set("paused")
        for name in self.topology.order():
            await self._runners[name].stop()
        self._set("ready")
        await asyncio.gather(*(runner.executor.close() for runner in self._runners.values()))
        self._set("null")
        self.bus.close()

    async def cancel(self, slide: str) -> None:
        """Cancel one slide; repeats do nothing. Returns when nothing of it is left."""
        if slide in self._open and slide not in self._leaving:
            self._leave(slide, "cancelled", (), Outcome("cancelled"))
        if slide in self._leaving:
            await self._leaving[slide]

    def stop_sources(self) -> None:
        """Open no further slide; those that are open go on."""
        for runner in self._runners.values():
            if isinstance(runner, SourceRunner):
                runner.end()

    async def cancel_all(self) -> None:
        """Cancel every open slide."""
        await asyncio.gather(*(self.cancel(slide) for slide in list(self._open)))

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Take the figures of every stage and link as they stand."""
        stages: dict[str, StageStatistics] = {name: runner.timer.snapshot() for name, runner in self._runners.items()}
        links: dict[str, LinkStatistics] = {link.name: link.statistics() for link in self._links.values()}
        return {"stages": stages, "links": links}

    def leftovers(self) -> int:
        """Count what is still in a queue, a worker or a batcher; nothing after a drain."""
        queued = sum(len(link) for link in self._links.values())
        working = sum(runner.busy + len(runner.slides) for runner in self._runners.values())
        collected = sum(r.collector.rows for r in self._runners.values() if isinstance(r, BatchRunner))
        return queued + working + collected

    # What runners tell the pipeline.

    def note_start(self, slide: str, priority: int) -> None:
        """A source opened a slide."""
        if slide in self._open or slide in self.outcomes:
            raise PipelineError(f"slide {slide!r} was started twice; ids are used once a run")
        self._open[slide] = set(self._runners)
        for link in self._links.values():
            link.open(slide, priority)

    async def room_for_slide(self, limit: int) -> None:
        """Wait until fewer than ``limit`` slides are open; 0 is no limit."""
        while limit and len(self._open) >= limit:
            self._closed.clear()
            await self._closed.wait()

    def note_end(self, slide: str, runner: Runner) -> None:
        """A stage is through with a slide."""
        waiting = self._open.get(slide)
        if waiting is None or slide in self._leaving:
            return
        waiting.discard(runner.stage.name)
        if not waiting:
            self._close(slide, Outcome("done"))

    def note_exhausted(self, runner: Runner) -> None:
        """A source has ended."""
        self.note_idle()
        self._settled.set()

    def note_idle(self) -> None:
        """A stage has nothing to do; batchers behind it may go."""
        for runner in self._runners.values():
            if isinstance(runner, BatchRunner) and runner.collector.rows:
                runner.wake()

    def note_held(self, stage: str) -> None:
        """A stage on the loop took noticeably long; the watchdog names it if the loop was held."""
        self._holders.add(stage)

    def upstream_idle(self, runner: Runner) -> bool:
        """Whether nothing that could reach a stage is queued or being worked on."""
        above = self.topology.above(runner.stage.name)
        return not any(map(len, runner.inbound.values())) and all(self._runners[name].idle for name in above)

    def is_over(self, slide: str) -> bool:
        """Whether a slide has failed, was cancelled or has ended."""
        return slide in self._leaving or slide not in self._open

    def warn(self, slide: str, stage: str, text: str) -> None:
        """Put a warning on the bus and in the log."""
        _log.warning("flow", stage=stage, slide=slide, text=text)
        self.bus.post(WarningMessage(slide, text, stage))

    def fail_slide(self, slide: str, error: BaseException) -> None:
        """Fail one slide; the others do not notice."""
        if slide in self._open and slide not in self._leaving:
            self.bus.post(ErrorMessage(slide, error, getattr(error, "stage", "")))
            self._leave(slide, "failed", (error,), Outcome("failed", error))

    def fail(self, error: BaseException) -> None:
        """Fail the pipeline."""
        if self._failure is None:
            self._failure = error
            self.bus.post(ErrorMessage("", error, getattr(error, "stage", "")))
            self._settled.set()

    # Within.

    def _leave(self, slide: str, hook: str, args: tuple[Any, ...], outcome: Outcome) -> None:
        self._leaving[slide] = asyncio.get_running_loop().create_task(self._take_leave(slide, hook, args, outcome))

    async def _take_leave(self, slide: str, hook: str, args: tuple[Any, ...], outcome: Outcome) -> None:
        """Go down the graph: every stage takes leave of the slide, with what those above it gave in doing so."""
        last: dict[str, list[tuple[str, Any]]] = {}
        for name in self.topology.order():
            try:
                given = await self._runners[name].abandon(slide, hook, args, last.pop(name, []))
            except Exception as error:
                self.warn(slide, name, f"in taking leave: {error}")
                continue
            for pad, item in given:
                for spec in self.topology.links:
                    if (spec.source, spec.source_pad) == (name, pad):
                        last.setdefault(spec.sink, []).append((spec.sink_pad, item))
        self._leaving.pop(slide, None)
        self._close(slide, outcome)

    def _close(self, slide: str, outcome: Outcome) -> None:
        if self._open.pop(slide, None) is not None:
            self.outcomes[slide] = outcome
            for link in self._links.values():
                link.purge(slide)
            self.bus.post(SlideEnded(slide, outcome.status, outcome.error))
            self._settled.set()
            self._closed.set()

    def _take_holders(self) -> set[str]:
        holders, self._holders = self._holders, set()
        return holders

    def _is_drained(self) -> bool:
        sources = [r for r in self._runners.values() if isinstance(r, SourceRunner)]
        return not self._open and all(source.exhausted for source in sources)

    def _build(self) -> None:
        stages = self.topology.stages
        self._runners = {name: _runner(stage, self) for name, stage in stages.items()}
        for stage in stages.values():
            stage._post = self._post
        for spec in self.topology.links:
            sink = self._runners[spec.sink]
            shared = isinstance(stages[spec.source], MicroBatch)
            link = Link(str(spec), spec.max_items, spec.max_bytes, sink.wake, spec.leaky, shared)
            self._links[spec] = sink.inbound[spec.sink_pad] = link
            self._runners[spec.source].outlet.links[spec.source_pad] = link

    def _post(self, message: Any) -> None:
        if not isinstance(message, Message):
            raise TypeError(f"stages post messages, not {type(message).__name__}")
        self.bus.post(message)

    async def _open_stages(self) -> None:
        """Open all stages side by side; where one fails, close those that are open."""
        names = list(reversed(self.topology.order()))
        results = await asyncio.gather(*(self._runners[n].executor.open() for n in names), return_exceptions=True)
        failures = [(name, result) for name, result in zip(names, results, strict=True) if result is not None]
        if not failures:
            return
        for name, result in zip(names, results, strict=True):
            if result is None:
                await self._runners[name].executor.close()
        raise failures[0][1]

    def _set(self, state: State) -> None:
        self.state = state
        self.bus.post(StateChanged("", state))

    def _runner_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.fail(error)


def _runner(stage: Stage, pipeline: Pipeline) -> Runner:
    if isinstance(stage, Source):
        return SourceRunner(stage, pipeline)
    if isinstance(stage, MicroBatch):
        return BatchRunner(stage, pipeline)
    if isinstance(stage, BatchTransform):
        return BatchTransformRunner(stage, pipeline)
    return Runner(stage, pipeline)
