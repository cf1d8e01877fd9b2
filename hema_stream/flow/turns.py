"""Whose turn it is: by priority, and among equals by who has used least of a stage's time."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

LOW_TURN = 8
"""Of so many turns one is a slide's of lower priority, if any waits."""

TICK = 1e-6
"""Seconds that a turn counts for at least, so that turns that cost nothing go round."""


STALE = 64
"""Entries that are not true any more, of which a heap is cleared."""


class Usage:
    """Seconds that a stage has worked for each slide; who comes anew, or back, has nothing saved up."""

    def __init__(self) -> None:
        self._used: dict[str, float] = {}
        self._now = 0.0

    def of(self, slide: str) -> float:
        """What a slide has used."""
        return self._used.get(slide, self._now)

    def enter(self, slide: str) -> None:
        """A slide has something to do."""
        self._used[slide] = max(self.of(slide), self._now)

    def turn(self, slide: str) -> None:
        """A slide had a turn."""
        self.come_to(slide)
        self._used[slide] = self.of(slide) + TICK

    def come_to(self, slide: str) -> None:
        """From now on who comes anew starts where a slide stands."""
        self._now = max(self._now, self.of(slide))

    def charge(self, slide: str, seconds: float) -> None:
        """A call for a slide took so long."""
        if slide in self._used:
            self._used[slide] += seconds

    def forget(self, slide: str) -> None:
        """A slide is over."""
        self._used.pop(slide, None)


class Turns:
    """The slides of one link that have something to give; ``priorities`` has them."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self.priorities: dict[str, int] = {}
        self._heaps: dict[int, list[tuple[float, int, str]]] = {}
        self._entries: dict[str, int] = {}
        self._number = self._pops = 0

    def add(self, slide: str, priority: int) -> None:
        """A slide has something to give."""
        if len(self.priorities) == 1:  # who was alone took no turns
            self._usage.come_to(next(iter(self.priorities)))
        self.priorities[slide] = priority
        self._usage.enter(slide)
        self._push(slide)

    def discard(self, slide: str) -> None:
        """A slide has nothing to give, or must not."""
        self.priorities.pop(slide, None)
        self._entries.pop(slide, None)
        if not self.priorities:
            self._heaps.clear()

    def rank(self) -> tuple[int, float]:
        """How urgent the first of them is, to compare links with; the lower the sooner."""
        first = self._first(max(self._heaps))
        return -self.priorities[first], self._usage.of(first)

    def next(self) -> str:
        """Give a slide its turn; there are several."""
        priorities = sorted((priority for priority in list(self._heaps) if self._waits(priority)), reverse=True)
        self._pops += 1
        low = self._pops % LOW_TURN == 0 and len(priorities) > 1
        slide = self._first(priorities[1] if low else priorities[0])
        heappop(self._heaps[self.priorities[slide]])
        self._usage.turn(slide)
        self._push(slide)
        return slide

    def _first(self, priority: int) -> str:
        if self._waits(priority):
            return self._heaps[priority][0][2]
        return self._first(max(self._heaps))

    def _waits(self, priority: int) -> bool:
        """Whether a slide of a priority is there; what has changed since it was entered is put right."""
        heap = self._heaps[priority]
        while heap:
            used, number, slide = heap[0]
            if self._entries.get(slide) != number:
                heappop(heap)
            elif used < self._usage.of(slide):
                heappop(heap)
                self._push(slide)
            else:
                return True
        del self._heaps[priority]
        return False

    def _push(self, slide: str) -> None:
        self._number += 1
        self._entries[slide] = self._number
        heap = self._heaps.setdefault(self.priorities[slide], [])
        heappush(heap, (self._usage.of(slide), self._number, slide))
        if len(heap) > STALE + 2 * len(self.priorities):
            heap[:] = [entry for entry in heap if self._entries.get(entry[2]) == entry[1]]
            heapify(heap)
