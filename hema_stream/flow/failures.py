"""What a stage's error policy makes of a failure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hema_stream.flow.errors import DeadlineExceededError, PipelineError, RestartsSpentError, StageError
from hema_stream.flow.events import Event, Gap, GapEvent
from hema_stream.flow.payload import units_of
from hema_stream.flow.policy import Verdict
from hema_stream.flow.run import Run
from hema_stream.flow.stage import Stage
from hema_stream.flow.statistics import CallTimer


class Failures:
    """Carries out one stage's policy."""

    def __init__(self, stage: Stage, run: Run, timer: CallTimer) -> None:
        self._stage, self._run, self._timer = stage, run, timer

    def judge(self, error: Exception, slide: str, item: Any, reason: str = "") -> list[Any]:
        """Carry out the verdict on an item whose work failed; return what goes in its place.

        Args:
            reason: of the gap that it is then, whatever the policy says.
        """
        verdict = Verdict.GAP if reason else self._verdict(error)
        self._timer.failures += 1
        failure = StageError(self._stage.name, slide, units_of(item), error)
        if verdict is Verdict.GAP:
            self._run.warn(slide, self._stage.name, str(failure))
            return self._in_place(Gap(units_of(item), reason or reason_of(error), error=failure))
        if verdict is Verdict.FAIL_SLIDE:
            self._run.fail_slide(slide, failure)
        else:
            self._run.fail(failure)
        return []

    def judge_event(self, error: Exception, event: Event) -> None:
        """Carry out the verdict where there is nothing to put in an event's place: its slide fails."""
        self._timer.failures += 1
        failure = StageError(self._stage.name, event.slide, _units_of(event), error)
        if isinstance(error, PipelineError):
            self._run.fail(failure)
        else:
            self._run.fail_slide(event.slide, failure)

    def _verdict(self, error: Exception) -> Verdict:
        if isinstance(error, PipelineError):
            return Verdict.FAIL_PIPELINE
        own = self._stage.on_error.verdict
        return Verdict.FAIL_SLIDE if isinstance(error, RestartsSpentError) and own is Verdict.GAP else own

    def _in_place(self, gap: Gap) -> list[Any]:
        """Put a gap of this stage's own on the pads that it names."""
        return [gap] if len(self._stage.sources) <= 1 else [(pad, gap) for pad in self._stage.gap_pads]


def is_final(error: BaseException) -> bool:
    """Whether trying again is no use: the stage has no worker left to give to it."""
    return isinstance(error, PipelineError | RestartsSpentError)


def reason_of(error: BaseException) -> str:
    """Name a failure for a gap."""
    if isinstance(error, DeadlineExceededError):
        return "timeout"
    return str(getattr(error, "code", type(error).__name__))


def _units_of(event: Event) -> Sequence[Any]:
    return event.gap.units if isinstance(event, GapEvent) else units_of(getattr(event, "item", None))
