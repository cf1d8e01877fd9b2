"""Errors of the runtime; each says what, where and what to do."""

from __future__ import annotations

import traceback
from typing import Any


class FlowError(Exception):
    """Base of the runtime's errors."""

    code = "flow"


class NegotiationError(FlowError):
    """Two pads cannot agree on caps, or a stage cannot take a slide's."""

    code = "negotiation"


class PropertyError(FlowError):
    """A property that does not exist or a value that it does not take."""

    code = "property"


class PipelineError(FlowError):
    """A pipeline that cannot be built or has failed as a whole."""

    code = "pipeline"


class RestartsSpentError(FlowError):
    """A slide that has cost a stage too many workers."""

    code = "restarts"


class LedgerError(FlowError):
    """A unit that ended twice or never."""

    code = "ledger"


class WorkerDiedError(FlowError):
    """A worker process ended on its own."""

    code = "worker_died"


class WorkerError(FlowError):
    """An error, or an answer, of a worker process that cannot be sent; its message says what it was."""

    code = "worker"


class DeadlineExceededError(FlowError):
    """A call that took longer than its stage allows."""

    code = "timeout"


class ControlFlowError(FlowError):
    """A hook was left by a cancellation, ``StopIteration`` or ``SystemExit`` instead of an error."""

    def __init__(self, cause: BaseException | str) -> None:
        self.code = cause if isinstance(cause, str) else type(cause).__name__
        super().__init__(self.code)

    def __str__(self) -> str:
        return f"the call was left by {self.code}"


class LaunchSyntaxError(FlowError):
    """A launch text that does not parse; says line, column, what was found and what was expected."""

    code = "launch_syntax"

    def __init__(self, message: str, line: int, column: int) -> None:
        self.line, self.column = line, column
        super().__init__(f"line {line}, column {column}: {message}")


class StageError(FlowError):
    """A failure within a stage.

    Attributes:
        stage: name of the stage; slide: stream it concerns, or None; units: what was being worked on.
        cause: the exception that was raised, without its frames: they would hold what was being worked on. A note says
            where it was raised.
    """

    def __init__(self, stage: str, slide: str | None, units: Any, cause: BaseException) -> None:
        self.stage, self.slide, self.units, self.cause = stage, slide, units, cause
        self.code = str(getattr(cause, "code", type(cause).__name__))
        super().__init__(stage, slide, units, cause)
        self.add_note("".join(traceback.format_exception(cause, limit=-8)))
        _let_go(cause)

    def __str__(self) -> str:
        where = f"stage {self.stage}" + (f", slide {self.slide}" if self.slide else "")
        units = list(self.units)[:4] if len(self.units) else []
        return f"{where}{f', units {units}' if units else ''}: {self.cause or type(self.cause).__name__}"


def _let_go(error: BaseException | None) -> None:
    """Drop the frames of an error and of those behind it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
