"""Calling a stage's hooks: the same in the process, in a thread and in a worker process."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from hema_stream.flow.caps import Caps
from hema_stream.flow.errors import ControlFlowError
from hema_stream.flow.stage import Stage

EAGER = 16
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
            return returned if operation in PLAIN else outputs_of(returned, EAGER)
        except asyncio.CancelledError as error:
            raise as_failure(error) from error

    def process(self, slide: str, item: Any, pad: str) -> Any:
        """Call ``process`` and return what it returned, for the fast way on the loop."""
        try:
            return self._process(slide, item, pad)
        except asyncio.CancelledError as error:
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
        return self.stage.process_batch(items, states)  # type: ignore[attr-defined]


@dataclass
class Outputs:
    """What a hook gave: items that are there, and the iterator that gives the rest, if it has not ended."""

    items: list[Any] = field(default_factory=list)
    rest: Iterator[Any] | None = None

    def advance(self, count: int) -> list[Any]:
        """Take up to ``count`` more of the rest."""
        if self.rest is None:
            return []
        try:
            taken = list(islice(self.rest, count))
        except asyncio.CancelledError as error:
            raise as_failure(error) from error
        if len(taken) < count:
            self.rest = None
        return taken


def outputs_of(returned: Any, eager: int = 0) -> Outputs:
    """Wrap what a hook returned: nothing, one item, a list, or an iterator of which ``eager`` items are taken now."""
    if returned is None:
        return Outputs()
    if isinstance(returned, list):
        return Outputs(returned)
    if not isinstance(returned, Iterator):
        return Outputs([returned])
    outputs = Outputs(rest=returned)
    outputs.items = outputs.advance(eager) if eager else []
    return outputs


def as_failure(error: BaseException) -> Exception:
    """Turn what the loop takes for its own control flow into an error like any other.

    A cancellation, ``StopIteration`` or ``SystemExit`` that leaves a hook would end the runtime's task without a word,
    and everyone behind it would wait for ever.
    """
    control = (StopIteration, concurrent.futures.CancelledError)
    return error if isinstance(error, Exception) and not isinstance(error, control) else ControlFlowError(error)
