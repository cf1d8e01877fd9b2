"""Micro-batching: the stage that says how rows of several slides are collected, and the decisions."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, NamedTuple

from hema_stream.flow.caps import ANY, Caps
from hema_stream.flow.payload import rows_of
from hema_stream.flow.props import prop
from hema_stream.flow.stage import Pad, Stage


class MicroBatch(Stage):
    """Let rows of several branches into the stage behind, which collects batches of at most ``max_batch`` rows.

    A batch leaves when it is full, when its oldest item is ``max_delay`` old, when nothing more is on its way
    upstream, or at a slide's end where no other open slide can still feed it.
    """

    sinks = {"sink_%u": Pad(Caps(ANY), request=True)}
    sources = {"src": Pad(Caps(ANY))}

    max_batch: int = prop(64, doc="rows a batch", ge=1)
    max_delay: float = prop(0.05, doc="longest wait of an item", unit="s", ge=0.0)

    def negotiate_pad(self, pad: str, caps: Caps, state: Any) -> tuple[Caps | None, Any]:
        """Of the caps that several pads bring, one set goes on; those that come later on a pad do again."""
        known = state or frozenset()
        return caps if not known or pad in known else None, known | {pad}

    def process(self, item: Any, state: Any, pad: str = "sink_0") -> Any:
        """Return the item."""
        return item


class Part(NamedTuple):
    """One slide's rows within a batch; ``owner`` is whose they are, ``place`` which part of theirs it is."""

    slide: str
    item: Any
    owner: Any = None
    place: int = 0


class Collector:
    """Rows that wait for a batch, without loop or clock; those of a slide leave in the order in which they came."""

    def __init__(self, max_batch: int, max_delay: float) -> None:
        self.max_batch, self._max_delay = max_batch, max_delay
        self._queue: deque[tuple[Part, float]] = deque()
        self._rows: Counter[str] = Counter()
        self.rows = 0

    def __contains__(self, slide: str) -> bool:
        """Whether rows of a slide wait."""
        return self._rows[slide] > 0 if slide in self._rows else False

    def add(self, slide: str, item: Any, now: float, owner: Any = None) -> None:
        """Take an item's rows in."""
        count = rows_of(item)
        if count:
            self._queue.append((Part(slide, item, owner), now))
            self._rows[slide] += count
            self.rows += count

    def wait(self, now: float) -> float | None:
        """Seconds until the oldest item is due; None while there is none."""
        return None if not self._queue else max(self._queue[0][1] + self._max_delay - now, 0.0)

    @property
    def full(self) -> bool:
        """Whether a whole batch is there."""
        return self.rows >= self.max_batch

    def take(self) -> list[Part]:
        """Take out one batch; an item that is larger than the room left is cut."""
        parts: list[Part] = []
        room = self.max_batch
        while self._queue and room:
            part, since = self._queue.popleft()
            count = rows_of(part.item)
            if count > room:
                self._queue.appendleft((part._replace(item=part.item[room:], place=part.place + 1), since))
                part, count = part._replace(item=part.item[:room]), room
            parts.append(part)
            room -= count
            self.rows -= count
            self._rows[part.slide] -= count
            if not self._rows[part.slide]:
                del self._rows[part.slide]
        return parts

    def drop(self, slide: str) -> None:
        """Forget a slide."""
        if slide in self._rows:
            self.rows -= self._rows.pop(slide)
            self._queue = deque(queued for queued in self._queue if queued[0].slide != slide)
