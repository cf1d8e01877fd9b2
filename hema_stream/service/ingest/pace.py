"""How fast a scanner may say what takes no credit: more than that waits in its socket, unread."""

from __future__ import annotations

SMALL = 1024
"""Bytes under which a frame is no field; fields are held back by their credits."""
BURST = 1.0
"""Seconds' worth of messages that may come at once."""


class Pace:
    """Spreads messages over time (a leaky bucket).

    Args:
        rate: messages a second.
    """

    def __init__(self, rate: float) -> None:
        self._each, self._free_at = 1 / rate, 0.0

    def wait(self, size: int, now: float) -> float:
        """Seconds to wait after a frame of so many bytes before the next is read; times are the loop's."""
        if size >= SMALL:
            return 0.0
        self._free_at = max(self._free_at, now) + self._each
        return max(self._free_at - now - BURST, 0.0)
