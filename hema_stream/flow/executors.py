"""Where a stage's hooks run: on the loop, or in threads that can be disowned (processes: ``processes.py``)."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol, Self

from hema_stream.flow.errors import ControlFlowError, DeadlineExceededError, PipelineError, RestartsSpentError
from hema_stream.flow.invoke import CONTROL, Invoker, Outputs, as_failure
from hema_stream.flow.pool import Pool
from hema_stream.flow.stage import Stage
from hema_stream.flow.threads import Thread

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


class ThreadExecutor(Background):
    """Calls hooks in threads. A call past its deadline is disowned, and a new thread takes the place of its own."""

    def __init__(self, stage: Stage, workers: int) -> None:
        super().__init__()
        self.workers, self.left = workers, 0
        self._invoker = Invoker(stage)
        self._restarts = Restarts(stage.name)
        self._free: Pool[Thread] = Pool()
        self._all: set[Thread] = set()
        for _ in range(workers):
            self._free.give(self._new_thread())

    def busy_since(self) -> float | None:
        """When the oldest call that is still running began."""
        return min((thread.busy_since for thread in self._all if thread.busy_since is not None), default=None)

    async def open(self) -> None:
        """Start the stage in one of its threads."""
        try:
            await self._run("", self._invoker.stage.start, deadline=None)
        except Exception:
            self.abandon()
            raise

    async def call(self, operation: str, slide: str, *args: Any, deadline: float | None = None) -> Any:
        """Call a hook in a thread."""
        return await self._run(slide, self._invoker.call, operation, slide, *args, deadline=deadline)

    async def pull(self, outputs: Outputs) -> list[Any]:
        """Draw the next outputs in a thread; the stage's deadline holds for each time."""
        taken: list[Any] = await self._run("", outputs.advance, deadline=self._invoker.stage.deadline)
        return taken

    def discard(self, outputs: Outputs) -> None:
        """Close a lazy hook in a thread."""
        self.spawn(self._run("", outputs.drop, deadline=self._invoker.stage.deadline), self._invoker.stage.name)

    async def release(self, slide: str) -> None:
        """Free a slide's state; in a thread only where the stage has something to do for it."""
        if type(self._invoker.stage).close is Stage.close:
            self._invoker.states.pop(slide, None)
        else:
            await self.call("close", slide, deadline=self._invoker.stage.deadline)

    async def close(self, grace: float = GRACE) -> None:
        """Stop the stage; threads that hang are left behind."""
        idle: list[Thread] = []
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    while len(idle) < self.workers:
                        idle.append(await self._free.take())
            self.left += self.workers - len(idle)
            thread = idle[0] if idle else self._new_thread()
            stopping = asyncio.get_running_loop().run_in_executor(thread, self._invoker.stage.stop)
            stopping.add_done_callback(retrieve)
            done, _ = await asyncio.wait({stopping}, timeout=max(grace, STOPPING))
            if done:
                stopping.result()
            else:
                self.left += 1
        finally:
            self.abandon()
            await self.quit()

    def abandon(self) -> None:
        """Let each thread end after the call that it has."""
        for thread in self._all:
            thread.shutdown()

    def _new_thread(self) -> Thread:
        thread = Thread(f"stage-{self._invoker.stage.name}")
        self._all.add(thread)
        return thread

    async def _run(self, slide: str, function: Callable[..., Any], *args: Any, deadline: float | None) -> Any:
        thread = await self._free.take()
        future = asyncio.get_running_loop().run_in_executor(thread, function, *args)
        try:
            done, _ = await asyncio.wait({future}, timeout=deadline)
        except asyncio.CancelledError:  # nobody waits for it any more, but the thread is busy until it ends
            future.add_done_callback(retrieve)
            self.spawn(self._see_to_its_end(thread, future, deadline), self._invoker.stage.name)
            raise
        if done:
            self._free.give(thread)
            return future.result()
        future.add_done_callback(retrieve)
        self._disown(thread, future)
        self._restarts.blame(slide).note("a call took too long")
        raise DeadlineExceededError(f"a call took longer than {deadline:g} s")

    async def _see_to_its_end(self, thread: Thread, future: asyncio.Future[Any], deadline: float | None) -> None:
        done, _ = await asyncio.wait({future}, timeout=deadline)
        if done:
            self._free.give(thread)
        else:
            self._disown(thread, future)

    def _disown(self, thread: Thread, future: asyncio.Future[Any]) -> None:
        thread.shutdown()
        self._all.discard(thread)
        self._free.give(self._new_thread())
        self.left += 1
        future.add_done_callback(self._came_back)

    def _came_back(self, _: asyncio.Future[Any]) -> None:
        self.left -= 1


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
