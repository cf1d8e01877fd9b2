"""A watch on the event loop and the interpreter: who held them too long."""

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
    their stages' names, so that what a source, or a sink that awaits, does on the loop is found; hooks on the loop are
    timed where they are called. Where the thread itself comes late somebody has held the interpreter.

    Args:
        warn: told the stage, what was held, and seconds.
        busy: names of the stages with a call in a thread that began before a moment, and runs or has just ended.
    """

    def __init__(
        self, warn: Callable[[str, str, float], None], busy: Callable[[float], list[str]], limit: float = LIMIT
    ) -> None:
        self._warn, self._busy, self._limit = warn, busy, limit
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
        slept = monotonic()
        while not self._ended.wait(INTERVAL):
            late = monotonic() - slept - INTERVAL
            self._alive.clear()
            self._held_by = ", ".join(self._busy(slept)) or self._running(loop) if late > self._limit else ""
            try:
                loop.call_soon_threadsafe(self._answer, monotonic(), late)
            except RuntimeError:  # the loop was closed over a pipeline that nobody stopped
                return
            asked = monotonic()
            if not self._alive.wait(self._limit):
                self._held_by = self._running(loop) or ", ".join(self._busy(asked))
                self._alive.wait()
            slept = monotonic()

    def _running(self, loop: asyncio.AbstractEventLoop) -> str:
        task = asyncio.current_task(loop)
        return task.get_name() if task is not None else ""

    def _answer(self, asked: float, late: float) -> None:
        """Give the sign of life, on the loop: how late it comes is how long the loop was held."""
        held = max(monotonic() - asked, late)
        if held > self._limit and not self._ended.is_set():
            what = "interpreter" if held == late else "loop"
            self._warn(self._held_by or "outside the stages", what, held)
        self._alive.set()
