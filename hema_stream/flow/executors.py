"""Where a stage's hooks run: on the loop, or in threads that can be disowned (processes: ``processes.py``)."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping
from time import monotonic
from typing import Any, Protocol, Self

from hema_stream.flow.errors import ControlFlowError, DeadlineExceededError, PipelineError, RestartsSpentError
from hema_stream.flow.invoke import CONTROL, Invoker, Outputs, as_failure
from hema_stream.flow.stage import Stage

RESTARTS, RESTART_WINDOW = 3, 60.0
GRACE = 5.0
STOPPING = 1.0
"""Seconds that a stage's ``stop`` has at least."""


class Executor(Protocol):
    """Runs a stage's hooks somewhere.

    Attributes:
        workers: calls at a time; on_fault: told of a failure that nobody waits for.
    """

    workers: int
    on_fault: Callable[[BaseException], None]

    @property
    def left(self) -> int:
        """How many calls were given up and have not come back."""

    async def open(self) -> None:
        """Start the stage where it will run; where that fails nothing is left running."""

    async def call(self, operation: str, slide: str, *args: Any, deadline: float | None = None) -> Any:
        """Call a hook; see ``Invoker``. DeadlineExceededError and WorkerDiedError are the executor's own failures.

        The deadline counts from where the call is begun, not from where it waits for a worker.
        """

    async def pull(self, outputs: Outputs) -> list[Any]:
        """Draw the next outputs of a lazy hook; empty at its end."""

    def discard(self, outputs: Outputs) -> None:
        """Close a lazy hook whose rest is not wanted, where it runs and as soon as that is free."""

    async def release(self, slide: str) -> None:
        """Free what is kept of a slide."""

    async def close(self, grace: float = GRACE) -> None:
        """Give calls in flight ``grace`` seconds, stop the stage and free the workers."""

    def abandon(self) -> None:
        """Let go of the workers here and now."""


class Restarts:
    """At most n in t seconds, as supervisors count: of a slide it costs the slide, of n slides the pipeline."""

    def __init__(self, stage: str) -> None:
        self._stage, self._slide = stage, ""
        self._times: deque[tuple[float, str]] = deque()

    def blame(self, slide: str) -> Self:
        """Say whose call it was; nobody's where it was of several slides."""
        self._slide = slide
        return self

    def note(self, why: str) -> None:
        """Count one; RestartsSpentError where a slide has had too many, PipelineError where too many slides have."""
        now = monotonic()
        self._times.append((now, self._slide))
        while now - self._times[0][0] > RESTART_WINDOW:
            self._times.popleft()
        by_slide = Counter(slide for _, slide in self._times)
        shared = by_slide.pop("", 0)
        spent = sum(count > RESTARTS for count in by_slide.values())
        count = by_slide[self._slide] if self._slide else shared
        text = f"stage {self._stage}: workers replaced {count} times in {RESTART_WINDOW:.0f} s, last: {why}"
        if spent > RESTARTS or shared > RESTARTS * (RESTARTS + 1):
            raise PipelineError(text)
        if self._slide and count > RESTARTS:
            raise RestartsSpentError(text)


class Background:
    """Tasks of an executor's own, of which failures are told."""

    def __init__(self) -> None:
        self.on_fault: Callable[[BaseException], None] = lambda error: None
        self._errands: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do something beside."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._errands.add(task)
        task.add_done_callback(self._reap)

    async def quit(self) -> None:
        """Give up what is under way."""
        for task in self._errands:
            task.cancel()
        if self._errands:
            await asyncio.wait(self._errands, timeout=STOPPING)

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._errands.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.on_fault(error)


class LoopExecutor(Background):
    """Calls hooks on the loop itself."""

    workers = 1

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.invoker = Invoker(stage)
        self._consuming: set[asyncio.Task[None]] = set()

    @property
    def left(self) -> int:
        """How many calls of ``consume`` were given up and go on."""
        return len(self._consuming)

    async def open(self) -> None:
        """Start the stage."""
        try:
            self.invoker.stage.start()
        except CONTROL as error:
            raise as_failure(error) from error

    async def call(self, operation: str, slide: str, *args: Any, deadline: float | None = None) -> Any:
        """Call a hook here and now."""
        return self.invoker.call(operation, slide, *args)

    async def consume(self, slide: str, item: Any, deadline: float | None) -> None:
        """Await a sink's ``consume``; one that does not end in time is cancelled and no longer waited for."""
        stage: Any = self.invoker.stage
        task = asyncio.get_running_loop().create_task(
            stage.consume(item, self.invoker.states.get(slide)), name=stage.name
        )
        self._consuming.add(task)
        task.add_done_callback(self._consuming.discard)
        try:
            done, _ = await asyncio.wait({task}, timeout=deadline)
        except asyncio.CancelledError:
            task.add_done_callback(retrieve)
            task.cancel()
            raise
        if not done:
            task.add_done_callback(retrieve)
            task.cancel()
            raise DeadlineExceededError(f"a call took longer than {deadline:g} s")
        if task.cancelled():
            raise ControlFlowError("CancelledError")
        task.result()

    async def pull(self, outputs: Outputs) -> list[Any]:
        """Draw the next outputs, after the others on the loop had their turn."""
        await asyncio.sleep(0)
        return outputs.advance()

    def discard(self, outputs: Outputs) -> None:
        """Close a lazy hook here and now."""
        try:
            outputs.drop()
        except Exception as error:
            self.on_fault(error)

    async def release(self, slide: str) -> None:
        """Free a slide's state here and now."""
        self.invoker.call("close", slide)

    async def close(self, grace: float = GRACE) -> None:
        """Stop the stage."""
        try:
            self.invoker.stage.stop()
        except CONTROL as error:
            raise as_failure(error) from error

    def abandon(self) -> None:
        """Nothing is held."""


def retrieve(future: asyncio.Future[Any]) -> None:
    """Look at a disowned call's exception, so that asyncio does not report it as never retrieved."""
    if not future.cancelled():
        future.exception()


async def open_all(executors: Mapping[str, Executor]) -> None:
    """Open stages, begun in order and loading side by side; where one fails, those that are open are closed again."""
    opening = {name: asyncio.ensure_future(executor.open()) for name, executor in executors.items()}
    try:
        await asyncio.wait(opening.values())
    except asyncio.CancelledError:
        for task in opening.values():
            task.cancel()
        await asyncio.wait(opening.values(), timeout=GRACE)
        await close_all(executors, 0.0)
        raise
    failed = {name for name, task in opening.items() if task.cancelled() or task.exception() is not None}
    if failed:
        await close_all({name: executors[name] for name in executors if name not in failed}, GRACE)
    for task in opening.values():
        task.result()


async def close_all(executors: Mapping[str, Executor], grace: float) -> dict[str, BaseException]:
    """Close stages, begun in order; returns the errors of those that could not be closed properly."""
    closing = (executor.close(grace) for executor in executors.values())
    results = await asyncio.gather(*closing, return_exceptions=True)
    return {name: error for name, error in zip(executors, results, strict=True) if error is not None}
