"""Worker processes: a call that hangs or crashes costs its worker, never the pipeline."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from hema_stream.flow.errors import DeadlineExceededError, PipelineError, WorkerDiedError, WorkerError
from hema_stream.flow.executors import GRACE, PULL, Executor, LoopExecutor, Restarts, ThreadExecutor
from hema_stream.flow.invoke import Invoker, Outputs, as_failure
from hema_stream.flow.shared import pack, sweep, unpack
from hema_stream.flow.stage import Stage
from hema_stream.flow.threads import Thread


class _Worker:
    """One process and the thread that talks to it."""

    def __init__(self, stage: Stage) -> None:
        self._prefix = f"hema-flow-{os.getpid()}-{id(self):x}-"
        context = multiprocessing.get_context("spawn")
        self._pipe, child = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=serve, args=(child, stage, self._prefix), daemon=True, name=f"stage-{stage.name}"
        )
        self.thread = Thread(f"talk-{stage.name}")
        self._child = child

    def start(self) -> None:
        # Ctrl-C is the parent's to handle, also before the worker can say so: it inherits this thread's mask.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._child.close()

    def ask(self, operation: str, slide: str, *args: Any) -> Any:
        message = pack((operation, slide, args), self._prefix)
        try:
            self._pipe.send(message)
            reply = self._pipe.recv()
        except (EOFError, OSError) as error:
            self.process.join(1.0)
            raise WorkerDiedError(f"the worker process ended with code {self.process.exitcode}") from error
        good, value = unpack(*reply)
        if not good:
            raise value
        return value

    def kill(self) -> None:
        if self.process.pid is not None:
            self.process.kill()
            self.process.join(1.0)
        sweep(self._prefix)
        self.thread.shutdown()


class ProcessExecutor:
    """Calls hooks in worker processes. A call past its deadline kills its worker, and a new one takes its place.

    A new worker is told the caps of every open slide again, so that what a stage keeps of a slide must follow from
    its caps alone.
    """

    def __init__(self, stage: Stage, workers: int) -> None:
        self.workers = workers
        self._stage = stage
        self._restarts = Restarts(stage.name)
        self._free: asyncio.Queue[_Worker] = asyncio.Queue()
        self._all: set[_Worker] = set()
        self._caps: dict[str, list[tuple[Any, ...]]] = {}
        self._collecting = asyncio.Lock()

    async def open(self) -> None:
        """Start the workers, and the stage in each."""
        started = await asyncio.gather(*(self._spawn() for _ in range(self.workers)), return_exceptions=True)
        for worker in started:
            if isinstance(worker, BaseException):
                await self.close(0.0)
                raise worker
            self._free.put_nowait(worker)

    async def call(self, operation: str, slide: str, *args: Any, deadline: float | None = None) -> Any:
        """Call a hook in a worker; what concerns a slide's state is told to each."""
        if operation == "negotiate":
            told = self._caps.setdefault(slide, [])
            answer = await self._everywhere(operation, slide, *args)
            told.append(args)
            return answer
        worker = await self._free.get()
        try:
            return await self._ask(worker, deadline, operation, slide, *args)
        except (DeadlineExceededError, WorkerDiedError) as error:
            self._restarts.note(str(error))
            await self._replace(worker)
            raise

    async def pull(self, outputs: Outputs) -> list[Any]:
        """Take the next outputs; a worker sends them whole."""
        return outputs.advance(PULL)

    async def release(self, slide: str) -> None:
        """Free a slide's state in each worker."""
        if self._caps.pop(slide, None) is not None:
            await self._everywhere("close", slide)

    async def close(self, grace: float = GRACE) -> None:
        """Stop the stage in the workers that are free, or become so in time, and end them all."""
        if self._all and type(self._stage).stop is not Stage.stop:
            stops = [asyncio.ensure_future(self._ask(w, None, "stop", "")) for w in self._all]
            _, late = await asyncio.wait(stops, timeout=grace)
            for stop in late:
                stop.cancel()
            await asyncio.gather(*stops, return_exceptions=True)
        elif grace and self._all:
            await self._quiet(grace)
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, worker.kill) for worker in self._all))
        self._all.clear()

    async def _quiet(self, grace: float) -> None:
        """Wait until no worker is busy, but not longer than ``grace`` seconds."""
        holding = asyncio.ensure_future(self._hold_all())
        await asyncio.wait({holding}, timeout=grace)
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)

    async def _everywhere(self, operation: str, slide: str, *args: Any) -> Any:
        """Ask each worker; all the answers are the same."""
        held = await self._hold_all()
        questions = (self._ask(worker, self._stage.deadline, operation, slide, *args) for worker in held)
        answers = await asyncio.gather(*questions, return_exceptions=True)
        lost = [w for w, a in zip(held, answers, strict=True) if isinstance(a, DeadlineExceededError | WorkerDiedError)]
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        if lost:
            self._restarts.note(str(errors[0]))  # one question, however many workers it has cost
            for worker in lost:
                await self._replace(worker)
        if errors:
            raise errors[0]
        return answers[0]

    async def _hold_all(self) -> list[_Worker]:
        """Take every worker; one after the other, since two that hold a part each would wait for ever."""
        held: list[_Worker] = []
        async with self._collecting:
            try:
                while len(held) < self.workers:
                    held.append(await self._free.get())
            except asyncio.CancelledError:
                for worker in held:
                    self._free.put_nowait(worker)
                raise
        return held

    async def _ask(self, worker: _Worker, deadline: float | None, *question: Any) -> Any:
        future = asyncio.get_running_loop().run_in_executor(worker.thread, worker.ask, *question)
        future.add_done_callback(partial(self._freed, worker))
        done, _ = await asyncio.wait({future}, timeout=deadline)
        if not done:
            self._all.discard(worker)
            raise DeadlineExceededError(f"a call took longer than {deadline:g} s; its worker was killed")
        return future.result()

    def _freed(self, worker: _Worker, future: asyncio.Future[Any]) -> None:
        """Put a worker that has answered, if only with an error of its stage's, among the free."""
        died = not future.cancelled() and isinstance(future.exception(), WorkerDiedError)
        if worker in self._all and not died:
            self._free.put_nowait(worker)

    async def _replace(self, worker: _Worker) -> None:
        self._all.discard(worker)
        await asyncio.get_running_loop().run_in_executor(None, worker.kill)
        try:
            fresh = await self._spawn()
            for slide, told in list(self._caps.items()):
                for args in told:
                    await self._tell(fresh, slide, args)
        except Exception as error:
            raise PipelineError(f"stage {self._stage.name}: a worker cannot be replaced: {error}") from error
        self._free.put_nowait(fresh)

    async def _tell(self, fresh: _Worker, slide: str, caps: tuple[Any, ...]) -> None:
        telling = asyncio.get_running_loop().run_in_executor(fresh.thread, fresh.ask, "negotiate", slide, *caps)
        async with asyncio.timeout(self._stage.deadline):
            await telling

    async def _spawn(self) -> _Worker:
        worker = _Worker(self._stage)
        self._all.add(worker)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, worker.start)
        await loop.run_in_executor(worker.thread, worker.ask, "start", "")
        return worker


def executor_for(stage: Stage) -> Executor:
    """Make the executor that a stage's placement asks for."""
    placement = stage.runs_on
    workers = int(getattr(stage, "workers", 0) or placement.workers)
    if placement.kind == "loop":
        return LoopExecutor(stage)
    return ThreadExecutor(stage, workers) if placement.kind == "thread" else ProcessExecutor(stage, workers)


def serve(pipe: Connection, stage: Stage, prefix: str) -> None:
    """Answer a parent's questions until it hangs up; runs in the worker process."""
    invoker = Invoker(stage)
    while True:
        try:
            operation, slide, args = unpack(*pipe.recv())
        except (EOFError, OSError):
            return
        try:
            answer: tuple[bool, Any] = (True, _answer(invoker, operation, slide, args))
        except BaseException as error:
            answer = (False, _portable(as_failure(error)))
        try:
            message = pack(answer, prefix)
        except Exception as error:
            message = pack((False, WorkerError(f"its answer cannot be sent: {error}")), prefix)
        pipe.send(message)


def _answer(invoker: Invoker, operation: str, slide: str, args: tuple[Any, ...]) -> Any:
    if operation == "start":
        return invoker.stage.start()
    if operation == "stop":
        return invoker.stage.stop()
    returned = invoker.call(operation, slide, *args)
    if isinstance(returned, Outputs) and returned.rest is not None:
        return Outputs([*returned.items, *returned.rest])
    return returned


def _portable(error: Exception) -> Exception:
    """Return the error, or what can be said of it where it would not come out whole on the other side."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return WorkerError(f"{type(error).__name__}: {error}")
    return error
