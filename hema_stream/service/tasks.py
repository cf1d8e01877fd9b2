"""Work that goes on beside whoever began it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

PAUSE = 1.0
"""Seconds before work that must not end is begun anew."""
_log = structlog.get_logger(__name__)


async def endless(what: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do work that the service lives by until it is cancelled: where it ends, that is logged and it is begun anew."""
    while True:
        try:
            await work()
            _log.error("ended, and is begun anew", what=what)
        except Exception:
            _log.exception("failed, and is begun anew", what=what)
        await asyncio.sleep(PAUSE)


class Tasks:
    """Holds tasks until they end, since the loop alone would let go of them, and logs those that fail.

    Args:
        what: named where one fails.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._under_way: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin something."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._reap)
        return task

    async def settle(self) -> None:
        """Wait until all have ended."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("task failed", what=self._what, exc_info=error)
