"""Where a stage's hooks run: threads that can be disowned, processes that can be killed."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any, Protocol

from hema_stream.flow.errors import DeadlineExceededError, PipelineError, WorkerDiedError
from hema_stream.flow.invoke import Invoker, Outputs
from hema_stream.flow.shared import pack, sweep, unpack
from hema_stream.flow.stage import Stage

PULL = 16
RESTARTS, RESTART_WINDOW = 3, 60.0


class Executor(Protocol):
    """Runs a stage's hooks somewhere."""

    workers: int

    async def open(self) -> None:
        """Start the stage where it will run."""

    async def call(self, operation: str, slide: str, *args: Any, deadline: float | None = None) -> Any:
        """Call a hook; see ``Invoker``. DeadlineExceededError and WorkerDiedError are the executor's own failures."""

    async def pull(self, outputs: Outputs) -> list[Any]:
        """Take the next outputs of a lazy hook; empty at its end."""

    async def release(self, slide: str) -> None:
        """Free what is kept of a slide."""

    async def close(self) -> None:
        """Stop the stage and free the workers."""


class _Restarts:
    """At most n in t seconds, as supervisors count."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._times: deque[float] = deque()

    def note(self, why: str) -> None:
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

    async def pull(self, outputs: Outputs) -> list[Any]:
        """Take the next outputs."""
        return outputs.advance(PULL)

    async def release(self, slide: str) -> None:
        """Free a slide's state here and now."""
        self.invoker.call("close", slide)

    async def close(self) -> None:
        """Stop the stage."""
        self.invoker.stage.stop()


class ThreadExecutor:
    """Calls hooks in threads. A call past its deadline is disowned and the threads are replaced."""

    def __init__(self, stage: Stage, workers: int) -> None:
        self.workers = workers
        self._invoker = Invoker(stage)
        self._restarts = _Restarts(stage.name)
        self._pool = self._new_pool()

    def _new_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.workers, thread_name_prefix=f"stage-{self._invoker.stage.name}")

    async def open(self) -> None:
        """Start the stage in one of its threads."""
        await self._run(self._invoker.stage.start)

    async def call(self, operation: str, slide: str, *args: Any, deadline: float | None = None) -> Any:
        """Call a hook in a thread."""
        future = self._run(self._invoker.call, operation, slide, *args)
        done, _ = await asyncio.wait({future}, timeout=deadline)
        if done:
            return future.result()
        future.add_done_callback(_retrieve)
        self._pool.shutdown(wait=False, cancel_futures=False)
        self._pool = self._new_pool()
        self._restarts.note("a call took too long")
        raise DeadlineExceededError(f"a call took longer than {deadline:g} s")

    async def pull(self, outputs: Outputs) -> list[Any]:
        """Take the next outputs in a thread."""
        taken: list[Any] = await self._run(outputs.advance, PULL)
        return taken

    async def release(self, slide: str) -> None:
        """Free a slide's state; in a thread only where the stage has something to do for it."""
        if type(self._invoker.stage).close is Stage.close:
            self._invoker.states.pop(slide, None)
        else:
            await self.call("close", slide, deadline=self._invoker.stage.deadline)

    async def close(self) -> None:
        """Stop the stage; threads that hang are left behind."""
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._run(self._invoker.stage.stop)), 5.0)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._pool, function, *args)


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Look at a disowned call's exception, so that asyncio does not report it as never retrieved."""
    if not future.cancelled():
        future.exception()


class _Worker:
    """One process and the thread that talks to it."""

    def __init__(self, stage: Stage) -> None:
        self._prefix = f"hema-flow-{os.getpid()}-{id(self):x}-"
        context = multiprocessing.get_context("spawn")
        self._pipe, child = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=serve, args=(child, stage, self._prefix), daemon=True, name=f"stage-{stage.name}"
        )
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"talk-{stage.name}")
        self._child = child

    def start(self) -> None:
        self.process.start()
        self._child.close()

    def ask(self, operation: str, slide: str, *args: Any) -> Any:
        try:
            self._pipe.send(pack((operation, slide, args), self._prefix))
            good, value = unpack(*self._pipe.recv())
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            self.process.join(1.0)
            raise WorkerDiedError(f"the worker process ended with code {self.process.exitcode}") from error
        if not good:
            raise value
        return value

    def kill(self) -> None:
        self.process.kill()
        self.process.join(1.0)
        sweep(self._prefix)
        self.thread.shutdown(wait=False, cancel_futures=True)


class ProcessExecutor:
    """Calls hooks in worker processes. A call past its deadline kills its worker, and a new one takes its place.

    A new worker is told the caps of every open slide again, so that what a stage keeps of a slide must follow from
    its caps alone.
    """

    def __init__(self, stage: Stage, workers: int) -> None:
        self.workers = workers
        self._stage = stage
        self._restarts = _Restarts(stage.name)
        self._free: asyncio.Queue[_Worker] = asyncio.Queue()
        self._all: set[_Worker] = set()
        self._caps: dict[str, list[tuple[Any, ...]]] = {}

    async def open(self) -> None:
        """Start the workers, and the stage in each."""
        for worker in await asyncio.gather(*(self._spawn() for _ in range(self.workers))):
            self._free.put_nowait(worker)

    async def call(self, operation: str, slide: str, *args: Any, deadline: float | None = None) -> Any:
        """Call a hook in a worker; what concerns a slide's state is told to each."""
        if operation == "negotiate":
            answers = await self._everywhere(operation, slide, *args)
            self._caps.setdefault(slide, []).append(args)
            return answers[0]
        worker = await self._free.get()
        try:
            return await self._ask(worker, deadline, operation, slide, *args)
        except (DeadlineExceededError, WorkerDiedError) as error:
            worker = await self._replace(worker, str(error))
            raise
        finally:
            self._free.put_nowait(worker)

    async def pull(self, outputs: Outputs) -> list[Any]:
        """Take the next outputs; a worker sends them whole."""
        return outputs.advance(PULL)

    async def release(self, slide: str) -> None:
        """Free a slide's state in each worker."""
        if self._caps.pop(slide, None) is not None:
            await self._everywhere("close", slide)

    async def close(self) -> None:
        """End the workers."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, worker.kill) for worker in self._all))
        self._all.clear()

    async def _everywhere(self, operation: str, slide: str, *args: Any) -> list[Any]:
        held = [await self._free.get() for _ in range(self.workers)]
        try:
            return list(
                await asyncio.gather(*(self._ask(w, self._stage.deadline, operation, slide, *args) for w in held))
            )
        except (DeadlineExceededError, WorkerDiedError) as error:
            held = [await self._replace(w, str(error)) for w in held]
            raise
        finally:
            for worker in held:
                self._free.put_nowait(worker)

    async def _ask(self, worker: _Worker, deadline: float | None, *question: Any) -> Any:
        future = asyncio.get_running_loop().run_in_executor(worker.thread, worker.ask, *question)
        done, _ = await asyncio.wait({future}, timeout=deadline)
        if not done:
            future.add_done_callback(_retrieve)
            raise DeadlineExceededError(f"a call took longer than {deadline:g} s; its worker was killed")
        return future.result()

    async def _replace(self, worker: _Worker, why: str) -> _Worker:
        self._all.discard(worker)
        await asyncio.get_running_loop().run_in_executor(None, worker.kill)
        self._restarts.note(why)
        fresh = await self._spawn()
        for slide, told in list(self._caps.items()):
            for args in told:
                await self._ask(fresh, self._stage.deadline, "negotiate", slide, *args)
        return fresh

    async def _spawn(self) -> _Worker:
        worker = _Worker(self._stage)
        self._all.add(worker)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, worker.start)
        await loop.run_in_executor(worker.thread, worker.ask, "start", "")
        return worker


def serve(pipe: Connection, stage: Stage, prefix: str) -> None:
    """Answer a parent's questions until it hangs up; runs in the worker process."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    invoker = Invoker(stage)
    while True:
        try:
            operation, slide, args = unpack(*pipe.recv())
        except (EOFError, OSError):
            return
        try:
            answer: tuple[bool, Any] = (True, _answer(invoker, operation, slide, args))
        except Exception as error:
            answer = (False, error)
        try:
            message = pack(answer, prefix)
        except Exception as error:
            message = pack((False, WorkerDiedError(f"its answer cannot be sent: {error}")), prefix)
        pipe.send(message)


def _answer(invoker: Invoker, operation: str, slide: str, args: tuple[Any, ...]) -> Any:
    if operation == "start":
        return invoker.stage.start()
    returned = invoker.call(operation, slide, *args)
    if isinstance(returned, Outputs) and returned.rest is not None:
        return Outputs([*returned.items, *returned.rest])
    return returned
