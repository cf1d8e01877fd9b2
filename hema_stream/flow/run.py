"""One run of a pipeline, as the drivers of its stages know it: slides, links, traces, the gate, what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

import structlog

from hema_stream.flow.bus import Bus, ErrorMessage, SlideEnded, WarningMessage
from hema_stream.flow.errors import PipelineError, StageError
from hema_stream.flow.events import Event
from hema_stream.flow.link import Link
from hema_stream.flow.slides import Outcome, Slides
from hema_stream.flow.topology import LinkSpec, Topology

Trace = Callable[[str, str, Event], None]
_log = structlog.get_logger(__name__)


class Run:
    """What the drivers of the stages share; it knows none of them.

    Attributes:
        failure: what failed the run as a whole; settled: set whenever a slide, a source or the run has ended.
        take_leave: makes the work of taking leave of a slide; set by whoever knows the drivers.
        idle: whether a stage has nothing to do, by its name; batchers: called when one has become idle.
    """

    def __init__(self, topology: Topology, bus: Bus) -> None:
        self.topology, self._bus = topology, bus
        self.slides = Slides(topology)
        self.links: dict[LinkSpec, Link] = {}
        self.traces: list[Trace] = []
        self.idle: dict[str, Callable[[], bool]] = {}
        self.batchers: list[Callable[[], None]] = []
        self.take_leave: Callable[[str, Outcome], Coroutine[Any, Any, None]]
        self.paused = self.stopping = False
        self.failure: BaseException | None = None
        self._held = 0.0
        self.settled = asyncio.Event()
        self.playing = asyncio.Event()

    def begin(self, slide: str, priority: int, source: str) -> None:
        """Open a slide that a source has begun."""
        self.slides.start(slide, source)
        for link in self.links.values():
            link.open(slide, priority)

    def passed(self, slide: str, stage: str) -> None:
        """Note that a stage is through with a slide."""
        if self.slides.passed(slide, stage):
            self.close(slide, Outcome("done"))

    def leave(self, slide: str, outcome: Outcome) -> None:
        """Let a slide that is open end so, once every stage has taken leave of it."""
        if not self.slides.is_over(slide):
            self.slides.leave(slide, self.take_leave(slide, outcome))

    def close(self, slide: str, outcome: Outcome) -> None:
        """Enter how a slide ended and tell the application."""
        if self.slides.end(slide, outcome):
            for link in self.links.values():
                link.purge(slide)
            self._bus.post(SlideEnded(slide, outcome.status, outcome.error))
            self.settled.set()

    def trace(self, stage: str, pad: str, event: Event) -> None:
        """Show an event to every trace hook; one that raises is told of and asked no more."""
        for hook in list(self.traces):
            try:
                hook(stage, pad, event)
            except Exception as error:
                self.traces.remove(hook)
                self.warn(event.slide, "", f"trace hook {hook!r} raised {error!r} at {stage}.{pad}; it is left out now")

    def note_idle(self) -> None:
        """A stage has nothing to do; batchers behind it may go."""
        for wake in self.batchers:
            wake()

    def upstream_idle(self, stage: str) -> bool:
        """Whether nothing that could reach a stage is queued or being worked on above it."""
        return all(self.idle[name]() for name in self.topology.above(stage))

    def exhausted(self) -> None:
        """A source has ended, or was told to."""
        self.note_idle()
        self.settled.set()
        self.slides.nudge()

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Fail the run where a stage's task ends with an error, or is cancelled by anyone but the run's own end."""
        if not task.cancelled():
            error = task.exception()
        else:
            error = None if self.stopping else PipelineError("its task was cancelled from outside")
        if error is not None:
            self.fail(error if isinstance(error, StageError) else StageError(task.get_name(), None, (), error))

    def warn(self, slide: str, stage: str, text: str) -> None:
        """Put a warning on the bus and in the log."""
        _log.warning("flow", stage=stage, slide=slide, text=text)
        self._bus.post(WarningMessage(slide, text, stage))

    def note_held(self, stage: str, what: str, seconds: float) -> None:
        """Warn of whoever has held the loop or the interpreter; once, whoever notices."""
        if monotonic() - seconds >= self._held:
            self.warn("", stage, f"the {what} was held {seconds * 1000:.0f} ms")
        self._held = monotonic()

    def fail_slide(self, slide: str, error: BaseException) -> None:
        """Fail one slide; the others do not notice."""
        if not self.slides.is_over(slide):
            self._bus.post(ErrorMessage(slide, error, getattr(error, "stage", "")))
            self.leave(slide, Outcome("failed", error))

    def fail(self, error: BaseException) -> None:
        """Fail the run."""
        if self.failure is None:
            self.failure = error
            self._bus.post(ErrorMessage("", error, getattr(error, "stage", "")))
            self.settled.set()
