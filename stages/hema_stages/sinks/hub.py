"""Hub: hand what happens to slides to a program that watches, and let nobody who watches slow it down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from hema_stream.core.calibration import Calibration
from hema_stream.core.delta import SlideDelta
from hema_stream.core.field_plan import SlidePlan
from hema_stream.core.result import TallyResult
from hema_stream.core.slide import Slide
from hema_stream.flow import Caps, Pad, Policy, Stage, cpu


class Watcher(Protocol):
    """Whoever is told. Called in the stage's thread, in each slide's order; must not wait for anybody."""

    def opened(self, slide: Slide, calibration: Calibration, plan: SlidePlan) -> None:
        """A slide was opened and measured."""

    def changed(self, delta: SlideDelta) -> None:
        """Something was counted, retracted or named."""

    def settled(self, result: TallyResult) -> None:
        """All is counted that will be, or was when the slide was cancelled."""


class Hub(Stage):
    """Tell ``watcher``, which the program that runs the pipeline sets, of every delta; pass results on to the report.

    A cancelled slide's last deltas may be lost on the way, so that a result is what a watcher ends with. A partial
    result of a slide for which ``wants_part`` says no, as of one that is begun anew later, goes no further.
    """

    sinks = {"sink": Pad(Caps("slide/delta")), "result": Pad(Caps("slide/result"))}
    sources = {"src": Pad(Caps("slide/result"))}
    runs_on = cpu(threads=1)
    on_error = Policy.FAIL_SLIDE

    def __init__(self, name: str = "", **properties: Any) -> None:
        super().__init__(name, **properties)
        self.watcher: Watcher | None = None
        self.wants_part: Callable[[str], bool] = lambda _: True

    def negotiate(self, caps: Caps) -> tuple[Caps, Slide]:
        """Tell that a slide was opened."""
        if self.watcher is not None:
            self.watcher.opened(caps.slide, caps.calibration, caps.plan)
        return caps, caps.slide

    def process(self, item: SlideDelta | TallyResult, state: Slide, pad: str = "sink") -> TallyResult | None:
        """Tell of a delta, or of a result and pass it on."""
        if isinstance(item, TallyResult):
            if item.status == "partial" and not self.wants_part(item.slide.id):
                return None
            if self.watcher is not None:
                self.watcher.settled(item)
            return item
        if self.watcher is not None:
            self.watcher.changed(item)
        return None
