"""A watch on the event loop: who held it too long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic

INTERVAL = 0.05
LIMIT = 0.1


class LoopWatchdog:
    """Reports when the loop was held longer than a limit, with the stage that held it.

    A thread asks the loop for a sign of life; where none comes in time, it looks whose task is running. Tasks bear
    their stages' names, so that whatever a stage does on the loop is found: a hook, a source, a sink that awaits.
    """

    def __init__(self, warn: Callable[[str, str, str], None], limit: float = LIMIT) -> None:
        self._warn, self._limit = warn, limit
        self._ended, self._alive = threading.Event(), threading.Event()
        self._held_by = ""

    def start(self) -> None:
        """Begin to watch the running loop."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._watch, args=(loop,), name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """End the watch."""
        self._ended.set()
        self._alive.set()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._ended.wait(INTERVAL):
            self._alive.clear()
            self._held_by = "outside the stages"
            try:
                loop.call_soon_threadsafe(self._answer, monotonic())
            except RuntimeError:  # the loop was closed over a pipeline that nobody stopped
                return
            if not self._alive.wait(self._limit):
                task = asyncio.current_task(loop)
                self._held_by = task.get_name() if task is not None else self._held_by
                self._alive.wait()

    def _answer(self, asked: float) -> None:
        """Give the sign of life, on the loop: how late it comes is how long the loop was held."""
        held = monotonic() - asked
        if held > self._limit and not self._ended.is_set():
            self._warn("", self._held_by, f"the loop was held {held * 1000:.0f} ms")
        self._alive.set()
