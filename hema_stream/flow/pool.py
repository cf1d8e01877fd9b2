"""Workers that are lent out one at a time: any of them, or that very one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from hema_stream.flow.errors import FlowError, WorkerDiedError

W = TypeVar("W")


class Pool(Generic[W]):
    """Who came first is served first; nobody waits for a worker that is gone."""

    def __init__(self) -> None:
        self._free: deque[W] = deque()
        self._waiting: deque[tuple[W | None, asyncio.Future[W]]] = deque()
        self._broken: FlowError | None = None

    def qsize(self) -> int:
        """Count the workers that are free."""
        return len(self._free)

    async def take(self, one: W | None = None) -> W:
        """Wait for a worker, or for a certain one.

        Raises:
            WorkerDiedError: that one is gone; or whatever broke the pool.
        """
        if self._broken is not None:
            raise self._broken
        if one is None and self._free:
            return self._free.popleft()
        if one is not None and one in self._free:
            self._free.remove(one)
            return one
        lent: asyncio.Future[W] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, lent))
        try:
            return await lent
        except asyncio.CancelledError:
            if lent.done() and not lent.cancelled() and lent.exception() is None:
                self.give(lent.result())
            raise

    def give(self, worker: W) -> None:
        """Lend a worker to who waits for it, or keep it."""
        for waiting in self._waiting:
            one, lent = waiting
            if (one is None or one is worker) and not lent.done():
                self._waiting.remove(waiting)
                lent.set_result(worker)
                return
        self._free.append(worker)

    def lose(self, worker: W) -> None:
        """A worker is gone; who waits for that very one is told."""
        if worker in self._free:
            self._free.remove(worker)
        self._tell(
            [waiting for waiting in self._waiting if waiting[0] is worker], WorkerDiedError("its worker is gone")
        )

    def fail(self, error: FlowError) -> None:
        """Lend nothing any more: everyone gets the error."""
        self._broken = error
        self._tell(list(self._waiting), error)

    def _tell(self, waiting: list[tuple[W | None, asyncio.Future[W]]], error: FlowError) -> None:
        for each in waiting:
            self._waiting.remove(each)
            if not each[1].done():
                each[1].set_exception(error)
