"""The pipeline: stages, links, states, and what an application does with them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from time import monotonic
from typing import Any, Literal, Self

from hema_stream.flow.batcher import BatchRunner, MicroBatch
from hema_stream.flow.builtin import Queue
from hema_stream.flow.bus import Bus, Drained, Message, StateChanged
from hema_stream.flow.errors import PipelineError
from hema_stream.flow.executors import GRACE, close_all, open_all
from hema_stream.flow.leaving import Leave
from hema_stream.flow.link import Leaky
from hema_stream.flow.run import Run, Trace
from hema_stream.flow.runner import Runner
from hema_stream.flow.slides import Outcome
from hema_stream.flow.source import SourceRunner
from hema_stream.flow.stage import Stage
from hema_stream.flow.statistics import LinkStatistics, StageStatistics
from hema_stream.flow.topology import Topology
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
        self._runners: dict[str, Runner] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def __getitem__(self, name: str) -> Stage:
        """Look up a stage by name."""
        return self.topology.stages[name]

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """How the slides that have ended did."""
        return self._run.slides.outcomes

    @property
    def open(self) -> tuple[str, ...]:
        """Slides that have begun and not ended."""
        return tuple(self._run.slides.open)

    @property
    def traces(self) -> list[Trace]:
        """Called with stage, pad and event whenever a stage takes an event."""
        return self._run.traces

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
        runners = wire(self._run)
        sinks_first = list(reversed(self.topology.order()))
        await open_all({name: runners[name].executor for name in sinks_first})
        self._runners = runners
        self._run.farewell = self._take_leave
        self._set("ready")
        self.pause()
        self._tasks = [asyncio.create_task(self.runners[name].run(), name=name) for name in sinks_first]
        for task in self._tasks:
            self._run.watch(task)
        self._watchdog = LoopWatchdog(self._run.warn)
        self._watchdog.start()
        self.play()

    def pause(self) -> None:
        """Take no more of any link or source; what is queued and worked on stays, and nothing is lost."""
        self._run.pause()
        self._set("paused")

    def play(self) -> None:
        """Go on."""
        self._run.play()
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
        while not self._is_drained() and self._run.failure is None:
            self._run.settled.clear()
            await self._run.settled.wait()
        if self._run.failure is not None:
            raise self._run.failure
        self.bus.post(Drained())

    async def stop(self, grace: float = GRACE) -> None:
        """Go down: open slides take leave, calls in flight get ``grace`` seconds, then workers are killed or left.

        Every slide that was started has an outcome then, and its ending is on the bus.
        """
        if self.state == "null":
            return
        ends = monotonic() + grace
        outcome = Outcome("failed", self._run.failure) if self._run.failure else Outcome("cancelled")
        for slide in list(self._run.slides.open):
            self._run.leave(slide, outcome)
        if self._run.slides.leaving:
            await asyncio.wait(self._run.slides.leaving.values(), timeout=grace)
        self._run.stopping = True
        self._watchdog.stop()
        tasks = [*self._tasks, *self._run.slides.leaving.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for slide in list(self._run.slides.open):
            self._run.close(slide, outcome)
        self._set("paused")
        sources_first = self.topology.order()
        for name in sources_first:
            await self.runners[name].stop()
        self._set("ready")
        executors = {name: self.runners[name].executor for name in sources_first}
        for name, error in (await close_all(executors, max(ends - monotonic(), 0.0))).items():
            self._run.warn("", name, f"in stopping: {error}")
        self._set("null")
        self.bus.close()

    async def cancel(self, slide: str) -> None:
        """Cancel one slide; repeats do nothing.

        Nothing of it enters a queue or a batch from now on. Returns when the stages have taken leave of it.
        """
        self._run.leave(slide, Outcome("cancelled"))
        if slide in self._run.slides.leaving:
            await asyncio.wait({self._run.slides.leaving[slide]})

    def flush(self, slide: str) -> None:
        """Give up what is queued and collected of a slide: each item becomes a gap ``flushed``; the slide goes on."""
        if not self._run.slides.is_over(slide):
            for runner in self.runners.values():
                runner.flush(slide)

    async def cancel_all(self) -> None:
        """Cancel every open slide."""
        await asyncio.gather(*(self.cancel(slide) for slide in list(self._run.slides.open)))

    def stop_sources(self) -> None:
        """Open no further slide; those that are open go on."""
        for runner in self.runners.values():
            if isinstance(runner, SourceRunner):
                runner.end()

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Take the figures of every stage and link as they stand."""
        stages: dict[str, StageStatistics] = {name: runner.timer.snapshot() for name, runner in self.runners.items()}
        links: dict[str, LinkStatistics] = {link.name: link.statistics() for link in self._run.links.values()}
        return {"stages": stages, "links": links}

    def leftovers(self) -> int:
        """Count what is still in a queue, a worker or a batcher; nothing after a drain."""
        queued = sum(len(link) for link in self._run.links.values())
        working = sum(runner.busy + len(runner.slides) for runner in self.runners.values())
        collected = sum(r.collector.rows for r in self.runners.values() if isinstance(r, BatchRunner))
        return queued + working + collected

    # Within.

    def _take_leave(self, slide: str, outcome: Outcome) -> Coroutine[Any, Any, None]:
        return Leave(self._run, self._runners, slide, outcome).take()

    def _is_drained(self) -> bool:
        sources = [r for r in self.runners.values() if isinstance(r, SourceRunner)]
        return not self._run.slides.open and all(source.exhausted for source in sources)

    def _post(self, message: Any) -> None:
        if not isinstance(message, Message):
            raise TypeError(f"stages post messages, not {type(message).__name__}")
        self.bus.post(message)

    def _set(self, state: State) -> None:
        self.state = state
        self.bus.post(StateChanged("", state))
