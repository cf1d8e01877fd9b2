"""What a stage's error policy makes of a failure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hema_stream.flow.errors import DeadlineExceededError, PipelineError, StageError
from hema_stream.flow.events import Event, Gap, GapEvent
from hema_stream.flow.payload import units_of
from hema_stream.flow.policy import Verdict
from hema_stream.flow.stage import Stage
from hema_stream.flow.statistics import CallTimer

if TYPE_CHECKING:
    from hema_stream.flow.pipeline import Pipeline


class Failures:
    """Carries out one stage's policy."""

    def __init__(self, stage: Stage, pipeline: Pipeline, timer: CallTimer) -> None:
        self._stage, self._pipeline, self._timer = stage, pipeline, timer

    def judge(self, error: Exception, slide: str, item: Any, reason: str = "") -> list[Any]:
        """Carry out the verdict on an item whose work failed; return what goes in its place.

        Args:
            reason: of the gap, instead of the error's own name.
        """
        self._timer.failures += 1
        failure = StageError(self._stage.name, slide, units_of(item), error)
        verdict = Verdict.FAIL_PIPELINE if isinstance(error, PipelineError) else self._stage.on_error.verdict
        if verdict is Verdict.GAP:
            self._pipeline.warn(slide, self._stage.name, str(failure))
            return self._in_place(Gap(units_of(item), reason or reason_of(error), error=failure))
        if verdict is Verdict.FAIL_SLIDE:
            self._pipeline.fail_slide(slide, failure)
        else:
            self._pipeline.fail(failure)
        return []

    def judge_event(self, error: Exception, event: Event) -> None:
        """Carry out the verdict where there is nothing to put in an event's place: its slide fails."""
        self._timer.failures += 1
        failure = StageError(self._stage.name, event.slide, _units_of(event), error)
        if isinstance(error, PipelineError):
            self._pipeline.fail(failure)
        else:
            self._pipeline.fail_slide(event.slide, failure)

    def _in_place(self, gap: Gap) -> list[Any]:
        """Put a gap of this stage's own on the pads that it names."""
        return [gap] if len(self._stage.sources) <= 1 else [(pad, gap) for pad in self._stage.gap_pads]


def reason_of(error: BaseException) -> str:
    """Name a failure for a gap."""
    if isinstance(error, DeadlineExceededError):
        return "timeout"
    return str(getattr(error, "code", type(error).__name__))


def _units_of(event: Event) -> Sequence[Any]:
    return event.gap.units if isinstance(event, GapEvent) else units_of(getattr(event, "item", None))
