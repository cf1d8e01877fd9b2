"""Taking leave of a failed or cancelled slide: forgotten everywhere at once, then each stage's hook in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from hema_stream.flow.caps import Caps
from hema_stream.flow.errors import PipelineError
from hema_stream.flow.events import Buffer, Gap
from hema_stream.flow.run import Run
from hema_stream.flow.runner import Runner
from hema_stream.flow.slide_run import SlideRun
from hema_stream.flow.slides import Outcome
from hema_stream.flow.stage import Stage

PATIENCE = 60.0
"""Seconds that a stage may take leave of a slide, beside its deadline."""

Last = list[tuple[str, Any]]


class Leave:
    """One slide's leave; made once the slide is over, so that nothing of it enters anywhere any more."""

    def __init__(self, run: Run, runners: Mapping[str, Runner], slide: str, outcome: Outcome) -> None:
        self._run, self._runners, self._slide, self._outcome = run, runners, slide, outcome
        self._hook = "failed" if outcome.status == "failed" else "cancelled"
        self._args = (outcome.error,) if outcome.status == "failed" else ()
        self._runs: dict[str, SlideRun | None] = {}

    async def take(self) -> None:
        """Empty every queue, then go down the graph; each stage gets what those above it gave in taking leave."""
        self._runs = {name: runner.forget(self._slide) for name, runner in self._runners.items()}
        last: dict[str, Last] = {}
        for name in self._run.topology.order():
            try:
                async with asyncio.timeout(PATIENCE + (self._runners[name].stage.deadline or 0.0)):
                    given = await self._at(name, last.pop(name, []))
            except Exception as error:
                self._run.warn(self._slide, name, f"in taking leave: {error or type(error).__name__}")
                if isinstance(error, PipelineError):
                    self._run.fail(error)
                continue
            for pad, item in given:
                for spec, link in self._run.links.items():
                    if (spec.source, spec.source_pad) == (name, pad):
                        last.setdefault(spec.sink, []).append((spec.sink_pad, item))
                        link.note_past(Buffer(self._slide, item).nbytes)
        self._run.close(self._slide, self._outcome)

    async def _at(self, name: str, last: Last) -> Last:
        """Let one stage take leave; returns (source pad, item) that it emits."""
        run, runner = self._runs[name], self._runners[name]
        if run is None:
            return []
        await run.settle()
        try:
            outputs = await self._call_hooks(runner, last)
        finally:
            await self._free(runner, run)
        only = next(iter(runner.outlet.links), "")
        pairs = [output if len(runner.stage.sources) > 1 else (only, output) for output in outputs]
        return [(pad, item) for pad, item in pairs if not isinstance(item, Gap | Caps)]

    async def _call_hooks(self, runner: Runner, last: Last) -> list[Any]:
        own = getattr(type(runner.stage), self._hook) is not getattr(Stage, self._hook)
        calls: list[tuple[str, tuple[Any, ...]]] = [("process", (item, pad)) for pad, item in last]
        for pad, item in last:
            self._run.trace(runner.stage.name, pad, Buffer(self._slide, item))
        outputs: list[Any] = []
        for operation, given in [*calls, (self._hook, self._args)] if own else calls:
            returned = await runner.executor.call(operation, self._slide, *given, deadline=runner.stage.deadline)
            runner.timer.calls += operation == "process"
            outputs += returned.items
            while returned.rest is not None:
                outputs += await runner.executor.pull(returned)
        return outputs

    async def _free(self, runner: Runner, run: SlideRun) -> None:
        """Free the stage's state; only after calls that were disowned, since one of them may bring it back."""
        if run.in_flight:
            runner.spawn(self._free_later(runner, run))
        else:
            await runner.release(self._slide)

    async def _free_later(self, runner: Runner, run: SlideRun) -> None:
        await run.quiet.wait()
        await runner.release(self._slide)
