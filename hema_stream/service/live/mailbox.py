"""What waits for one client: changes, coalesced when they fill the box, and never more than its limit."""

from __future__ import annotations

from hema_stream.service.live.change import Change, coalesce


class Mailbox:
    """Changes that were not sent yet. Their arrays are shared by all clients, so a small box costs next to nothing.

    A box that coalescing does not bring under half of its limit is emptied and says so: then only a snapshot helps.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changes: list[Change] = []
        self.nbytes = 0

    def __len__(self) -> int:
        """Count the changes as they lie there."""
        return len(self._changes)

    def put(self, change: Change) -> bool:
        """Add a change; False where the box had to be emptied."""
        self._changes.append(change)
        self.nbytes += change.nbytes
        if self.nbytes <= self._limit:
            return True
        self._hold([coalesce(self._changes)])
        if self.nbytes <= self._limit // 2:
            return True
        self.clear()
        return False

    def take(self) -> Change:
        """Empty the box; what was in it as one change."""
        change = self._changes[0] if len(self._changes) == 1 else coalesce(self._changes)
        self.clear()
        return change

    def clear(self) -> None:
        """Empty the box."""
        self._hold([])

    def _hold(self, changes: list[Change]) -> None:
        self._changes = changes
        self.nbytes = sum(change.nbytes for change in changes)
