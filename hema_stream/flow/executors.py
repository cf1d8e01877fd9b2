"""Where a stage's hooks run: on the loop, or in threads that can be disowned (processes: ``processes.py``)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, Protocol

from hema_stream.flow.errors import ControlFlowError, DeadlineExceededError, PipelineError
from hema_stream.flow.invoke import Invoker, Outputs
from hema_stream.flow.stage import Stage
from hema_stream.flow.threads import Thread

PULL = 16
RESTARTS, RESTART_WINDOW = 3, 60.0
GRACE = 5.0


class Executor(Protocol):
    """Runs a stage's hooks somewhere."""

    workers: int

    async def open(self) -> None:
        """Start the stage where it will run; where that fails nothing is left running."""

    async def call(self, operation: str, slide: str, *args: Any, deadline: float | None = None) -> Any:
        """Call a hook; see ``Invoker``. DeadlineExceededError and WorkerDiedError are the executor's own failures.

        The deadline counts from where the call is begun, not from where it waits for a worker.
        """

    async def pull(self, outputs: Outputs) -> list[Any]:
        """Take the next outputs of a lazy hook; empty at its end."""

    async def release(self, slide: str) -> None:
        """Free what is kept of a slide."""

    async def close(self, grace: float = GRACE) -> None:
        """Give calls in flight ``grace`` seconds, stop the stage and free the workers."""


class Restarts:
    """At most n in t seconds, as supervisors count."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._times: deque[float] = deque()

    def note(self, why: str) -> None:
        """Count one; PipelineError where there have been too many."""
        now = monotonic()
        self._times.append(now)
        while now - self._times[0] > RESTART_WINDOW:
            self._times.popleft()
        if len(self._times) > RESTARTS:
            raise PipelineError(
                f"stage {self._stage}: workers replaced {len(self._times)} times in {RESTART_WINDOW:.0f} s, last: {why}"
            )


class LoopExecutor:
    """Calls hooks on the loop itself."""

    workers = 1

    def __init__(self, stage: Stage) -> None:
        self.invoker = Invoker(stage)

    async def open(self) -> None:
        """Start the stage."""
        self.invoker.stage.start()

    async def call(self, operation: str, slide: str, *args: Any, deadline: float | None = None) -> Any:
        """Call a hook here and now."""
        return self.invoker.call(operation, slide, *args)

    async def consume(self, slide: str, item: Any, deadline: float | None) -> None:
        """Await a sink's ``consume``; one that does not end in time is cancelled and no longer waited for."""
        stage: Any = self.invoker.stage
        task = asyncio.get_running_loop().create_task(
            stage.consume(item, self.invoker.states.get(slide)), name=stage.name
        )
        try:
            done, _ = await asyncio.wait({task}, timeout=deadline)
        except asyncio.CancelledError:
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
        """Take the next outputs, after the others on the loop had their turn."""
        await asyncio.sleep(0)
        return outputs.advance(PULL)

    async def release(self, slide: str) -> None:
        """Free a slide's state here and now."""
        self.invoker.call("close", slide)

    async def close(self, grace: float = GRACE) -> None:
        """Stop the stage."""
        self.invoker.stage.stop()


class ThreadExecutor:
    """Calls hooks in threads. A call past its deadline is disowned, and a new thread takes the place of its own."""

    def __init__(self, stage: Stage, workers: int) -> None:
        self.workers = workers
        self._invoker = Invoker(stage)
        self._restarts = Restarts(stage.name)
        self._free: asyncio.Queue[Thread] = asyncio.Queue()
        for _ in range(workers):
            self._free.put_nowait(self._new_thread())

    async def open(self) -> None:
        """Start the stage in one of its threads."""
        try:
            await self._run(self._invoker.stage.start, deadline=None)
        except Exception:
            while not self._free.empty():
                self._free.get_nowait().shutdown()
            raise

    async def call(self, operation: str, slide: str, *args: Any, deadline: float | None = None) -> Any:
        """Call a hook in a thread."""
        return await self._run(self._invoker.call, operation, slide, *args, deadline=deadline)

    async def pull(self, outputs: Outputs) -> list[Any]:
        """Take the next outputs in a thread; the stage's deadline holds for each time."""
        taken: list[Any] = await self._run(outputs.advance, PULL, deadline=self._invoker.stage.deadline)
        return taken

    async def release(self, slide: str) -> None:
        """Free a slide's state; in a thread only where the stage has something to do for it."""
        if type(self._invoker.stage).close is Stage.close:
            self._invoker.states.pop(slide, None)
        else:
            await self.call("close", slide, deadline=self._invoker.stage.deadline)

    async def close(self, grace: float = GRACE) -> None:
        """Stop the stage; threads that hang are left behind."""
        idle: list[Thread] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while len(idle) < self.workers:
                    idle.append(await self._free.get())
        thread = idle[0] if idle else self._new_thread()
        stopping = asyncio.get_running_loop().run_in_executor(thread, self._invoker.stage.stop)
        stopping.add_done_callback(retrieve)
        done, _ = await asyncio.wait({stopping}, timeout=max(grace, 1.0))
        for each in {thread, *idle}:
            each.shutdown()
        if done:
            stopping.result()

    def _new_thread(self) -> Thread:
        return Thread(f"stage-{self._invoker.stage.name}")

    async def _run(self, function: Callable[..., Any], *args: Any, deadline: float | None) -> Any:
        thread = await self._free.get()
        future = asyncio.get_running_loop().run_in_executor(thread, function, *args)
        try:
            done, _ = await asyncio.wait({future}, timeout=deadline)
        except asyncio.CancelledError:  # nobody waits for it any more, but the thread is busy until it ends
            future.add_done_callback(partial(self._ended, thread))
            raise
        if done:
            self._free.put_nowait(thread)
            return future.result()
        future.add_done_callback(retrieve)
        thread.shutdown()
        self._free.put_nowait(self._new_thread())
        self._restarts.note("a call took too long")
        raise DeadlineExceededError(f"a call took longer than {deadline:g} s")

    def _ended(self, thread: Thread, future: asyncio.Future[Any]) -> None:
        retrieve(future)
        self._free.put_nowait(thread)


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
        await asyncio.wait(opening.values())
        await close_all(executors, 0.0)
        raise
    failed = {name for name, task in opening.items() if task.exception() is not None}
    if failed:
        await close_all({name: executors[name] for name in executors if name not in failed}, GRACE)
    for task in opening.values():
        task.result()


async def close_all(executors: Mapping[str, Executor], grace: float) -> dict[str, BaseException]:
    """Close stages, begun in order; returns the errors of those that could not be closed properly."""
    closing = (executor.close(grace) for executor in executors.values())
    results = await asyncio.gather(*closing, return_exceptions=True)
    return {name: error for name, error in zip(executors, results, strict=True) if error is not None}
