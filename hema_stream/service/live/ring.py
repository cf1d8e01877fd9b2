"""The latest changes of a slide, for clients that come back."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from hema_stream.service.live.change import Change


class Ring:
    """Changes without holes, the newest ``limit`` bytes of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changes: deque[Change] = deque()
        self.nbytes = 0

    def append(self, change: Change) -> None:
        """Keep a change, without the message that may have been packed of it; forget the oldest past the limit."""
        self._changes.append(replace(change))
        self.nbytes += change.nbytes
        while self.nbytes > self._limit:
            self.nbytes -= self._changes.popleft().nbytes

    def after(self, seq: int) -> list[Change] | None:
        """Changes after ``seq``, oldest first; None where the ring does not reach back to it."""
        if not self._changes or not self._changes[0].first <= seq + 1 <= self._changes[-1].last + 1:
            return None
        return [change for change in self._changes if change.first > seq]
