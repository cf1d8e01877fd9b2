"""Worker processes: a call that hangs or crashes costs its worker, never the pipeline. ``worker.py`` is their side."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from multiprocessing.process import BaseProcess
from typing import Any

from hema_stream.flow.errors import DeadlineExceededError, PipelineError, RestartsSpentError, WorkerDiedError
from hema_stream.flow.executors import (
    GRACE,
    STOPPING,
    Background,
    Executor,
    LoopExecutor,
    Restarts,
    retrieve,
)
from hema_stream.flow.invoke import Outputs
from hema_stream.flow.pool import Pool
from hema_stream.flow.shared import PREFIX, pack, sweep, sweep_dead, unpack
from hema_stream.flow.stage import Stage
from hema_stream.flow.threads import Thread, ThreadExecutor
from hema_stream.flow.worker import Drawn, serve

STARTING = 300.0
"""Seconds that a worker's start may take: models are loaded."""


class _Worker:
    """One process and the thread that talks to it.

    Attributes:
        told: how many caps of a slide it knows; stale: slides that are over, of which it still keeps something.
    """

    def __init__(self, stage: Stage) -> None:
        self._prefix = f"{PREFIX}{os.getpid()}-{id(self):x}-"
        context = multiprocessing.get_context("spawn")
        self._pipe, child = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=serve, args=(child, stage, self._prefix), daemon=True, name=f"stage-{stage.name}"
        )
        self.thread = Thread(f"talk-{stage.name}")
        self.told: dict[str, int] = {}
        self.stale: list[str] = []
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
        self.abandon()
        if self.process.pid is not None:
            self.process.join(1.0)
        sweep(self._prefix)
        if not self.process.is_alive():
            self._pipe.close()

    def abandon(self) -> None:
        """End it without waiting."""
        if self.process.pid is not None:
            self.process.kill()
        self.thread.shutdown()


class ProcessExecutor(Background):
    """Calls hooks in worker processes. A call past its deadline kills its worker, and a new one takes its place.

    A worker is told a slide's caps before it first works for it, so that what a stage keeps of a slide must follow
    from its caps alone.
    """

    def __init__(self, stage: Stage, workers: int) -> None:
        super().__init__()
        self.workers, self.left = workers, 0
        self._stage = stage
        self._restarts = Restarts(stage.name)
        self._free: Pool[_Worker] = Pool()
        self._all: set[_Worker] = set()
        self._caps: dict[str, list[tuple[Any, ...]]] = {}

    async def open(self) -> None:
        """Start the workers, and the stage in each."""
        sweep_dead()
        started = await asyncio.gather(*(self._spawn() for _ in range(self.workers)), return_exceptions=True)
        for worker in started:
            if isinstance(worker, BaseException):
                await self.close(0.0)
                raise worker
            self._free.give(worker)

    async def call(self, operation: str, slide: str, *args: Any, deadline: float | None = None) -> Any:
        """Call a hook in a worker that is free."""
        worker = await self._take()
        concerned = args[0] if operation == "batch" else [slide]
        blamed = concerned[0] if len(set(concerned)) == 1 else ""
        if operation == "negotiate":
            deadline = self._stage.deadline
        for each in dict.fromkeys(concerned):
            await self._tell(worker, each)
        answer = await self._ask(worker, blamed, deadline, operation, slide, *args)
        if operation == "negotiate":
            self._caps.setdefault(slide, []).append(args)
            worker.told[slide] = len(self._caps[slide])
        self._free.give(worker)
        if isinstance(answer, Outputs) and answer.rest is not None:
            answer.rest = (worker, answer.rest, slide)
        return answer

    async def pull(self, outputs: Outputs) -> list[Any]:
        """Draw the next outputs, in the worker that has begun them."""
        worker, number, slide = outputs.rest
        try:
            await self._free.take(worker)
            drawn: Drawn = await self._ask(worker, slide, self._stage.deadline, "pull", slide, number)
        except BaseException:
            outputs.rest = None
            raise
        self._free.give(worker)
        if drawn.ended:
            outputs.rest = None
        return drawn.items

    def discard(self, outputs: Outputs) -> None:
        """Close a lazy hook in its worker."""
        worker, number, slide = outputs.rest
        outputs.rest = None
        if worker in self._all:
            self.spawn(self._say(worker, "drop", slide, number), self._stage.name)

    async def release(self, slide: str) -> None:
        """Free a slide's state in the workers that know it, each as soon as it is free."""
        self._caps.pop(slide, None)
        for worker in self._all:
            if worker.told.pop(slide, None):
                worker.stale.append(slide)
                self.spawn(self._say(worker), self._stage.name)

    async def close(self, grace: float = GRACE) -> None:
        """Stop the stage in the workers that are free, or become so in time, and end them all."""
        try:
            if grace and self._all:
                stops = [asyncio.ensure_future(self._stop(worker)) for worker in self._all]
                _, late = await asyncio.wait(stops, timeout=grace)
                for stop in late:
                    stop.cancel()
                await asyncio.wait(stops, timeout=STOPPING)
            await self.quit()
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(None, worker.kill) for worker in self._all))
            self.left += sum(worker.process.is_alive() for worker in self._all)
        finally:
            self.abandon()
            self._all.clear()

    def abandon(self) -> None:
        """Kill the workers."""
        for worker in self._all:
            worker.abandon()

    async def _stop(self, worker: _Worker) -> None:
        await self._free.take(worker)
        if type(self._stage).stop is not Stage.stop:
            await self._ask(worker, "", None, "stop", "")

    async def _say(self, worker: _Worker, *question: Any) -> None:
        """Tell one worker something once it is free; where it is gone there is nothing to tell."""
        try:
            await self._free.take(worker)
            if await self._clean(worker):
                if question:
                    await self._ask(worker, "", self._stage.deadline, *question)
                self._free.give(worker)
        except WorkerDiedError:
            return

    async def _take(self) -> _Worker:
        """Take a worker that knows of no slide that is over."""
        while True:
            worker = await self._free.take()
            if await self._clean(worker):
                return worker

    async def _clean(self, worker: _Worker) -> bool:
        """Free what a worker keeps of slides that are over, before anything else is asked; False where that ends it."""
        while worker.stale:
            slide = worker.stale.pop()
            try:
                await self._ask(worker, slide, self._stage.deadline, "close", slide)
            except PipelineError:
                raise
            except Exception as error:
                self.on_fault(error)
                if worker not in self._all:
                    return False
                await self._free.take(worker)  # it came back with the error of the stage's own
        return True

    async def _tell(self, worker: _Worker, slide: str) -> None:
        """Tell a worker the caps of a slide that it does not know yet."""
        known = self._caps.get(slide, ())
        while worker.told.get(slide, 0) < len(known):
            args = known[worker.told.get(slide, 0)]
            await self._ask(worker, slide, self._stage.deadline, "negotiate", slide, *args)
            worker.told[slide] = worker.told.get(slide, 0) + 1

    async def _ask(self, worker: _Worker, slide: str, deadline: float | None, *question: Any) -> Any:
        """Ask a worker that was taken; it is given back here only where the question fails."""
        future = asyncio.get_running_loop().run_in_executor(worker.thread, worker.ask, *question)
        try:
            done, _ = await asyncio.wait({future}, timeout=deadline)
        except asyncio.CancelledError:  # nobody waits for the answer any more, but the worker is busy until it comes
            future.add_done_callback(retrieve)
            self.spawn(self._see_to_its_end(worker, future, deadline), self._stage.name)
            raise
        if done and not _died(future):
            if future.exception() is not None:
                self._free.give(worker)
            return future.result()
        future.add_done_callback(retrieve)
        error: Any = future.exception() if done else None
        error = error or DeadlineExceededError(f"a call took longer than {deadline:g} s; its worker was killed")
        self._lose(worker, slide, str(error))
        raise error

    async def _see_to_its_end(self, worker: _Worker, future: asyncio.Future[Any], deadline: float | None) -> None:
        done, _ = await asyncio.wait({future}, timeout=deadline)
        if done and not _died(future):
            self._free.give(worker)
        else:
            self._lose(worker, "", "its caller went away")

    def _lose(self, worker: _Worker, slide: str, why: str) -> None:
        """Replace a worker that is gone, beside: the others go on meanwhile."""
        self._all.discard(worker)
        self._free.lose(worker)
        try:
            self._restarts.blame(slide).note(why)
        except RestartsSpentError:
            self.spawn(self._replace(worker), self._stage.name)
            raise
        except PipelineError as error:
            worker.abandon()
            self._free.fail(error)
            raise
        self.spawn(self._replace(worker), self._stage.name)

    async def _replace(self, worker: _Worker) -> None:
        await asyncio.get_running_loop().run_in_executor(None, worker.kill)
        try:
            self._free.give(await self._spawn())
        except Exception as error:
            broken = PipelineError(f"stage {self._stage.name}: a worker cannot be replaced: {error}")
            self._free.fail(broken)
            raise broken from error

    async def _spawn(self) -> _Worker:
        worker = _Worker(self._stage)
        self._all.add(worker)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, worker.start)
        async with asyncio.timeout(STARTING):
            await loop.run_in_executor(worker.thread, worker.ask, "start", "")
        return worker


def _died(future: asyncio.Future[Any]) -> bool:
    return not future.cancelled() and isinstance(future.exception(), WorkerDiedError)


def executor_for(stage: Stage) -> Executor:
    """Make the executor that a stage's placement asks for."""
    placement = stage.runs_on
    workers = int(getattr(stage, "workers", 0) or placement.workers)
    if placement.kind == "loop":
        return LoopExecutor(stage)
    return ThreadExecutor(stage, workers) if placement.kind == "thread" else ProcessExecutor(stage, workers)
