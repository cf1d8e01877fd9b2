"""One run of a pipeline: what its drivers share. It knows the graph, the links and the slides, and no driver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from hema_stream.flow.bus import Bus, ErrorMessage, SlideEnded, WarningMessage
from hema_stream.flow.errors import PipelineError, StageError
from hema_stream.flow.events import Event
from hema_stream.flow.link import Link
from hema_stream.flow.slides import Outcome, Slides
from hema_stream.flow.topology import LinkSpec, Topology

Trace = Callable[[str, str, Event], None]
Farewell = Callable[[str, Outcome], Coroutine[Any, Any, None]]
_log = structlog.get_logger(__name__)


class Run:
    """What runs: slides, links, the gate of a pause, the first failure.

    Attributes:
        links: between the stages, by their specification.
        traces: called with stage, pad and event whenever an event is taken.
        failure: what failed the pipeline; None while it has not.
        paused: whether nothing is taken of any link or source.
        stopping: whether tasks are being cancelled, which is no failure then.
        settled: set when a slide has ended, a source is exhausted or the pipeline has failed.
        farewell: takes leave of a failed or cancelled slide, at every stage.
    """

    def __init__(self, topology: Topology, bus: Bus) -> None:
        self.topology, self.bus = topology, bus
        self.slides = Slides(topology)
        self.links: dict[LinkSpec, Link] = {}
        self.traces: list[Trace] = []
        self.failure: BaseException | None = None
        self.paused = self.stopping = False
        self.settled = asyncio.Event()
        self.farewell: Farewell = _without_stages
        self._playing = asyncio.Event()
        self._idle: dict[str, Callable[[], bool]] = {}
        self._told_of_idleness: list[Callable[[], None]] = []

    def pause(self) -> None:
        """Let nothing be taken of any link or source."""
        self.paused = True
        self._playing.clear()

    def play(self) -> None:
        """Let them go on."""
        self.paused = False
        self._playing.set()

    async def playing(self) -> None:
        """Wait while the run is paused."""
        await self._playing.wait()

    def trace(self, stage: str, pad: str, event: Event) -> None:
        """Show an event that a stage takes to whoever traces."""
        for hook in self.traces:
            hook(stage, pad, event)

    # Slides.

    def begin(self, slide: str, priority: int, source: str) -> None:
        """Open a slide that a source has begun.

        Raises:
            PipelineError: its id was used before.
        """
        self.slides.start(slide, source)
        for link in self.links.values():
            link.open(slide, priority)

    def passed(self, slide: str, stage: str) -> None:
        """Note that a stage is through with a slide."""
        if self.slides.passed(slide, stage):
            self.close(slide, Outcome("done"))

    def leave(self, slide: str, outcome: Outcome) -> None:
        """Begin to take leave of a slide; nothing of it enters anywhere from now on."""
        if not self.slides.is_over(slide):
            self.slides.leave(slide, self.farewell(slide, outcome))

    def close(self, slide: str, outcome: Outcome) -> None:
        """Enter how a slide ended and tell the application."""
        if self.slides.end(slide, outcome):
            for link in self.links.values():
                link.purge(slide)
            self.bus.post(SlideEnded(slide, outcome.status, outcome.error))
            self.settled.set()

    # Faults.

    def warn(self, slide: str, stage: str, text: str) -> None:
        """Put a warning on the bus and in the log."""
        _log.warning("flow", stage=stage, slide=slide, text=text)
        self.bus.post(WarningMessage(slide, text, stage))

    def fail_slide(self, slide: str, error: BaseException) -> None:
        """Fail one slide; the others do not notice."""
        if not self.slides.is_over(slide):
            self.bus.post(ErrorMessage(slide, error, getattr(error, "stage", "")))
            self.leave(slide, Outcome("failed", error))

    def fail(self, error: BaseException) -> None:
        """Fail the pipeline."""
        if self.failure is None:
            self.failure = error
            self.bus.post(ErrorMessage("", error, getattr(error, "stage", "")))
            self.settled.set()

    def watch(self, task: asyncio.Task[Any]) -> None:
        """See how a stage's task ends: with an error, or cancelled by anyone but a stop, it fails the pipeline."""
        task.add_done_callback(self._look_at)

    def _look_at(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            error = task.exception()
        else:
            error = None if self.stopping else PipelineError("its task was cancelled from outside")
        if error is not None:
            self.fail(error if isinstance(error, StageError) else StageError(task.get_name(), None, (), error))

    # Idleness.

    def join(self, stage: str, idle: Callable[[], bool]) -> None:
        """Let others ask whether nothing is queued at a stage and nothing worked on."""
        self._idle[stage] = idle

    def on_idle(self, told: Callable[[], None]) -> None:
        """Tell somebody whenever a stage has nothing to do."""
        self._told_of_idleness.append(told)

    def idle(self) -> None:
        """Say that a stage has nothing to do; who collects may hand on."""
        for told in self._told_of_idleness:
            told()

    def quiet_above(self, stage: str) -> bool:
        """Whether every stage from which this one can be reached is idle."""
        return all(self._idle[name]() for name in self.topology.above(stage))

    def exhausted(self) -> None:
        """Say that a source has ended, or was told to."""
        self.idle()
        self.settled.set()
        self.slides.nudge()


async def _without_stages(slide: str, outcome: Outcome) -> None:
    """Nobody takes leave of a slide before there are stages."""
