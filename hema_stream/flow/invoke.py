"""Calling a stage's hooks: the same in the process, in a thread and in a worker process."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hema_stream.flow.caps import Caps
from hema_stream.flow.errors import ControlFlowError
from hema_stream.flow.payload import nbytes_of
from hema_stream.flow.stage import Stage

DRAWN, DRAWN_BYTES = 16, 1 << 20
"""Outputs of a lazy hook that are drawn at a time: so many, or as soon as they are so large together."""

CONTROL = (asyncio.CancelledError, SystemExit, GeneratorExit)
PLAIN = frozenset({"negotiate", "close", "batch"})


class Invoker:
    """Holds the state of each slide beside a stage, and calls its hooks.

    Operations: ``negotiate (pad, caps)``, ``process (item, pad)``, ``gap (gap,)``, ``finish ()``, ``failed (error,)``,
    ``cancelled ()``, ``close ()``, and ``batch (slides, items)``.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.states: dict[str, Any] = {}
        self._takes_pad = "pad" in inspect.signature(stage.process).parameters

    def call(self, operation: str, slide: str, *args: Any) -> Any:
        """Call one hook for one slide; a lazy one is begun, so that its first part is done where it is called."""
        try:
            returned = getattr(self, f"_{operation}")(slide, *args)
            return returned if operation in PLAIN else outputs_of(returned, begin=True)
        except CONTROL as error:
            raise as_failure(error) from error

    def process(self, slide: str, item: Any, pad: str) -> Any:
        """Call ``process`` and return what it returned, for the fast way on the loop."""
        try:
            return self._process(slide, item, pad)
        except CONTROL as error:
            raise as_failure(error) from error

    def _negotiate(self, slide: str, pad: str, caps: Caps) -> Caps | None:
        before = self.states.get(slide)
        out, self.states[slide] = self.stage.negotiate_pad(pad, caps, before)
        if before is not None and self.states[slide] is not before:
            self.stage.close(before)
        return out

    def _process(self, slide: str, item: Any, pad: str) -> Any:
        state = self.states.get(slide)
        return self.stage.process(item, state, pad) if self._takes_pad else self.stage.process(item, state)

    def _gap(self, slide: str, gap: Any) -> Any:
        return self.stage.gap(gap, self.states.get(slide))

    def _finish(self, slide: str) -> Any:
        return self.stage.finish(self.states.get(slide))

    def _failed(self, slide: str, error: BaseException) -> Any:
        return self.stage.failed(error, self.states.get(slide))

    def _cancelled(self, slide: str) -> Any:
        return self.stage.cancelled(self.states.get(slide))

    def _close(self, slide: str) -> None:
        if slide in self.states:
            self.stage.close(self.states.pop(slide))

    def _batch(self, slide: str, slides: list[str], items: list[Any]) -> Any:
        states = [self.states.get(name) for name in slides]
        return list(self.stage.process_batch(items, states))  # type: ignore[attr-defined]


@dataclass
class Outputs:
    """What a hook gave: items that are there, and what gives the rest, if it has not ended.

    Attributes:
        sent: how many have left; again: how many of them had left when the same work was tried before.
    """

    items: list[Any] = field(default_factory=list)
    rest: Any = None
    sent: int = 0
    again: int = 0

    def advance(self) -> list[Any]:
        """Draw the next of the rest, where it lives."""
        taken: list[Any] = []
        size = 0
        try:
            for output in self.rest or ():
                taken.append(output)
                size += nbytes_of(output[1] if isinstance(output, tuple) and len(output) == 2 else output)
                if len(taken) >= DRAWN or size >= DRAWN_BYTES:
                    return taken
        except BaseException as error:
            self.rest = None
            if isinstance(error, CONTROL):
                raise as_failure(error) from error
            raise
        self.rest = None
        return taken

    def drop(self) -> None:
        """Close the iterator that gives the rest, where it lives."""
        rest, self.rest = self.rest, None
        if hasattr(rest, "close"):
            rest.close()


def outputs_of(returned: Any, begin: bool = False) -> Outputs:
    """Wrap what a hook returned: nothing, one item, a list, or an iterator, whose first outputs may be drawn now."""
    if returned is None:
        return Outputs()
    if isinstance(returned, list):
        return Outputs(returned)
    if not isinstance(returned, Iterator):
        return Outputs([returned])
    outputs = Outputs(rest=returned)
    outputs.items = outputs.advance() if begin else []
    return outputs


def as_failure(error: BaseException) -> Exception:
    """Turn what the loop takes for its own control flow into an error like any other.

    A cancellation, ``StopIteration`` or ``SystemExit`` that leaves a hook would end the runtime's task without a word,
    and everyone behind it would wait for ever.
    """
    control = (StopIteration, concurrent.futures.CancelledError)
    return error if isinstance(error, Exception) and not isinstance(error, control) else ControlFlowError(error)
