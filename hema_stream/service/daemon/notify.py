"""Telling systemd: ready, stopping, alive, and a line of status (sd_notify(3)). Without systemd nothing is told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from sdnotify import SystemdNotifier

BEATS = 3
"""Signs of life within the time that the watchdog allows."""


PATIENCE = 5.0
"""Seconds that systemd may take to hear what must not be lost; what is said again anyway never waits."""


class Notifier:
    """Speaks to whatever ``NOTIFY_SOCKET`` names."""

    def __init__(self) -> None:
        self._systemd = SystemdNotifier()

    def ready(self) -> None:
        """Started: those who wait for it may go on."""
        self._tell("READY=1", PATIENCE)

    def stopping(self) -> None:
        """Told to stop, and stopping."""
        self._tell("STOPPING=1", PATIENCE)

    def status(self, line: str) -> None:
        """What ``systemctl status`` shows."""
        self._tell(f"STATUS={line}")

    async def beat(self, alive: Callable[[], bool]) -> None:
        """Give signs of life while all is well; systemd begins a daemon anew that gives none.

        They come from the loop, so that a loop that hangs gives none either.
        """
        allowed = watchdog_seconds()
        while allowed is not None:
            if alive():
                self._tell("WATCHDOG=1")
            await asyncio.sleep(allowed / BEATS)

    def _tell(self, state: str, patience: float = 0.0) -> None:
        if self._systemd.socket is not None:
            self._systemd.socket.settimeout(patience)
            self._systemd.notify(state)


def watchdog_seconds() -> float | None:
    """Seconds within which systemd wants a sign of life; None where it wants none of this process."""
    microseconds, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or int(microseconds) == 0 or (process and process != str(os.getpid())):
        return None
    return int(microseconds) / 1e6
