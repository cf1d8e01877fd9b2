"""Threads that can be given up: where a call hangs, nobody waits for it, the interpreter's end included."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import Any

from hema_stream.flow.errors import DeadlineExceededError
from hema_stream.flow.executors import GRACE, STOPPING, Background, Restarts, retrieve
from hema_stream.flow.invoke import Invoker, Outputs, as_failure
from hema_stream.flow.pool import Pool
from hema_stream.flow.stage import Stage

JUST = 0.1
"""Seconds for which a call that has ended may still be who held the interpreter: the watch comes to it late."""

_Work = tuple[concurrent.futures.Future[Any], Callable[[], Any]]


class Thread(concurrent.futures.Executor):
    """Works on one call after another; started by the first.

    The standard library's pools are joined when the interpreter ends, which a call that hangs would hold up for ever.
    """

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self.busy_since: float | None = None
        self.last = 0.0, 0.0

    def submit(self, function: Callable[..., Any], /, *args: Any, **named: Any) -> concurrent.futures.Future[Any]:
        """Enter a call; its future never carries what the loop would take for its own control flow."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._queue.put((future, partial(function, *args, **named)))
        if self._thread.ident is None:
            self._thread.start()
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Let the thread end after the calls that it has; nobody waits for it."""
        self._queue.put(None)

    def _serve(self) -> None:
        while (work := self._queue.get()) is not None:
            future, call = work
            if not future.set_running_or_notify_cancel():
                continue
            self.busy_since = monotonic()
            try:
                result = call()
            except BaseException as error:
                future.set_exception(as_failure(error))
            else:
                future.set_result(result)
                del result
            self.last, self.busy_since = (self.busy_since, monotonic()), None
            del work, future, call  # a buffer is not kept until the next one comes


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
        """When the oldest call that is still running, or has just ended, began; from any thread."""
        threads, now = list(self._all), monotonic()
        ended = [began for began, end in (thread.last for thread in threads) if now - end < JUST]
        running = [moment for moment in (thread.busy_since for thread in threads) if moment is not None]
        return min([*ended, *running], default=None)

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
