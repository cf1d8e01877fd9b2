"""A watch on the event loop: who held it too long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

INTERVAL = 0.05
LIMIT = 0.1


class LoopWatchdog:
    """Reports when the loop was held longer than a limit, with the stages that took long on it."""

    def __init__(self, warn: Callable[[str, str, str], None], limit: float = LIMIT) -> None:
        self._warn, self._limit = warn, limit
        self._task: asyncio.Task[None] | None = None
        self.longest = 0.0

    def start(self, holders: Callable[[], set[str]]) -> None:
        """Begin to watch."""
        self._task = asyncio.get_running_loop().create_task(self._watch(holders))

    def stop(self) -> None:
        """End the watch."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self, holders: Callable[[], set[str]]) -> None:
        while True:
            before = monotonic()
            await asyncio.sleep(INTERVAL)
            held = monotonic() - before - INTERVAL
            self.longest = max(self.longest, held)
            named = ", ".join(sorted(holders())) or "outside the stages"
            if held > self._limit:
                self._warn("", named, f"the loop was held {held * 1000:.0f} ms")
