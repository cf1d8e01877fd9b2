"""A watch on the event loop: who held it too long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

INTERVAL = 0.05
LIMIT = 0.1


class LoopWatchdog:
    """Reports when the loop was held longer than a limit, with the stages that were at work."""

    def __init__(self, warn: Callable[[str, str, str], None], limit: float = LIMIT) -> None:
        self._warn, self._limit = warn, limit
        self._task: asyncio.Task[None] | None = None
        self.longest = 0.0

    def start(self, suspects: Callable[[], list[str]]) -> None:
        """Begin to watch."""
        self._task = asyncio.get_running_loop().create_task(self._watch(suspects))

    def stop(self) -> None:
        """End the watch."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self, suspects: Callable[[], list[str]]) -> None:
        while True:
            before, at_work = monotonic(), suspects()
            await asyncio.sleep(INTERVAL)
            held = monotonic() - before - INTERVAL
            self.longest = max(self.longest, held)
            if held > self._limit:
                named = ", ".join(dict.fromkeys([*at_work, *suspects()])) or "none at work"
                self._warn("", named, f"the loop was held {held * 1000:.0f} ms")
