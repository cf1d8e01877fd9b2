"""A link: a bounded queue between two pads, with a lane a slide; what waits for room enters in the order of waiting."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice
from time import perf_counter

from hema_stream.flow.events import Buffer, Eos, Event, StreamStart
from hema_stream.flow.statistics import LinkStatistics
from hema_stream.flow.turns import Turns, Usage

ALWAYS = (StreamStart, Eos)
NONE_READY = (1 << 62, 0.0)

LOOKED_AT = 64
"""Of those who wait for room, how many are looked at when there is some."""


class _Waiting:
    """An event that waits for room."""

    __slots__ = ("entered", "event", "nbytes", "passed_over")

    def __init__(self, event: Event, nbytes: int) -> None:
        self.event, self.nbytes, self.passed_over = event, nbytes, 0
        self.entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class _Lane:
    """What is queued of a slide, each with its bytes (None for a start or an end), and what of it counts."""

    __slots__ = ("events", "items", "nbytes")

    def __init__(self) -> None:
        self.events: deque[tuple[Event, int | None]] = deque()
        self.items = self.nbytes = 0


class Link:
    """Bounded by items and bytes, the first reached counts; one buffer larger than the byte limit passes alone.

    Buffers, gaps and caps count as items; a slide's start and end find room always. Slides share three quarters of
    both limits evenly, and the last quarter is for those that have nothing here, so that whoever is slow further down
    fills no more than its share. A buffer that bytes keep out is not overtaken for ever: after ``max_items`` others
    it enters, over the limit by itself alone.

    Args:
        name: ``a.src -> b.sink``.
        max_items, max_bytes: limits.
        wake: called when there is something to pop.
        usage: what the stage behind has worked for each slide.
    """

    def __init__(
        self, name: str, max_items: int, max_bytes: int, wake: Callable[[], None], usage: Usage | None = None
    ) -> None:
        if max_items < 1 or max_bytes < 1:
            raise ValueError(f"{name}: a link holds at least one item and one byte")
        self.name, self.max_items, self.max_bytes, self._wake = name, max_items, max_bytes, wake
        self._most, self._most_bytes = max(max_items * 3 // 4, 1), max(max_bytes * 3 // 4, 1)
        self._lanes: dict[str, _Lane] = {}
        self._usage = usage or Usage()
        self._ready = Turns(self._usage)
        self._held: set[str] = set()
        self._sharing = 0
        self._priorities: dict[str, int] = {}
        self._waiting: deque[_Waiting] = deque()
        self._length = 0
        self._items = self._bytes = self._in = self._out = self._bytes_in = 0
        self._high = self._high_bytes = 0
        self._blocked = 0.0

    def __len__(self) -> int:
        """Count the events queued, starts and ends too."""
        return self._length

    def open(self, slide: str, priority: int) -> None:
        """Note a slide's priority; higher ones are taken first."""
        self._priorities[slide] = priority

    def offer(self, event: Event) -> bool:
        """Enter an event if there is room; a slide's start and end always find it."""
        nbytes = size_of(event)
        if nbytes is None:
            self._enter(event, None)
            return True
        lane = self._lanes.get(event.slide)
        if self._items:
            if lane is not None and lane.items and not self._within_share(lane, nbytes):
                return False
            if self._items >= self.max_items or self._bytes + nbytes > self.max_bytes:
                return False
        self._enter(event, nbytes)
        return True

    async def put(self, event: Event) -> None:
        """Enter an event, waiting for room: this is the backpressure.

        What waits when its slide is purged never enters.
        """
        if self.offer(event):
            return
        began = perf_counter()
        waiting = _Waiting(event, size_of(event) or 0)
        self._waiting.append(waiting)
        try:
            await waiting.entered
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            raise
        finally:
            self._blocked += perf_counter() - began

    def pop(self) -> Event | None:
        """Take the next event: by priority, then in turn; None where there is none to take."""
        slides = self._ready.priorities
        if not slides:
            return None
        slide = next(iter(slides)) if len(slides) == 1 else self._ready.next()
        lane = self._lanes[slide]
        event, nbytes = lane.events.popleft()
        self._length -= 1
        if nbytes is not None:
            self._items -= 1
            self._bytes -= nbytes
            self._out += type(event) is Buffer
            lane.items -= 1
            lane.nbytes -= nbytes
            if not lane.items:
                self._sharing -= 1
        if not lane.events:
            self._ready.discard(slide)
            del self._lanes[slide]
        if self._waiting and nbytes is not None:
            self._admit()
        return event

    def rank(self) -> tuple[int, float]:
        """How urgent the next event is, to compare links with; the lower the sooner, and last where there is none."""
        return self._ready.rank() if self._ready.priorities else NONE_READY

    def hold(self, slide: str) -> None:
        """Give out nothing of a slide until ``release``."""
        self._held.add(slide)
        self._ready.discard(slide)

    def release(self, slide: str) -> None:
        """Give out a slide's events again."""
        self._held.discard(slide)
        if slide in self._lanes and slide not in self._ready.priorities:
            self._ready.add(slide, self._priorities.get(slide, 0))

    def purge(self, slide: str) -> None:
        """Throw away all that is queued of a slide, or waits to enter."""
        lane = self._lanes.pop(slide, None)
        if lane is not None:
            self._length -= len(lane.events)
            self._items -= lane.items
            self._bytes -= lane.nbytes
            self._sharing -= lane.items > 0
        self._ready.discard(slide)
        self._usage.forget(slide)
        self._priorities.pop(slide, None)
        self._held.discard(slide)
        for waiting in [waiting for waiting in self._waiting if waiting.event.slide == slide]:
            self._waiting.remove(waiting)
            _wake(waiting)
        self._admit()

    def note_past(self, nbytes: int) -> None:
        """Count a buffer that a stage gave in taking leave: it goes past the queue."""
        self._in, self._out, self._bytes_in = self._in + 1, self._out + 1, self._bytes_in + nbytes

    def statistics(self) -> LinkStatistics:
        """Take the figures as they stand."""
        return LinkStatistics(
            self._in,
            self._out,
            self._bytes_in,
            self._items,
            self._bytes,
            self._high,
            self._high_bytes,
            self.max_items,
            self.max_bytes,
            self._blocked,
        )

    def _within_share(self, lane: _Lane, nbytes: int) -> bool:
        """Whether a slide that has something here may have one more."""
        sharing = self._sharing
        return (
            lane.items < (self._most if sharing < 2 else max(self._most // sharing, 1))
            and lane.nbytes + nbytes <= self._most_bytes // sharing
        )

    def _enter(self, event: Event, nbytes: int | None) -> None:
        slide = event.slide
        lane = self._lanes.get(slide)
        if lane is None:
            lane = self._lanes[slide] = _Lane()
            if slide not in self._held:
                self._ready.add(slide, self._priorities.get(slide, 0))
                self._wake()
        lane.events.append((event, nbytes))
        self._length += 1
        if nbytes is not None:
            if not lane.items:
                self._sharing += 1
            lane.items += 1
            lane.nbytes += nbytes
            self._items += 1
            self._bytes += nbytes
            self._in += type(event) is Buffer
            self._bytes_in += nbytes
            if self._items > self._high:
                self._high = self._items
            if self._bytes > self._high_bytes:
                self._high_bytes = self._bytes

    def _admit(self) -> None:
        """Let in those who wait, in the order of waiting, as far as their shares and the limits go."""
        entered = []
        for waiting in islice(self._waiting, LOOKED_AT):
            if self._items >= self.max_items:
                break
            if self._let_in(waiting):
                entered.append(waiting)
        for waiting in entered:
            self._waiting.remove(waiting)

    def _let_in(self, waiting: _Waiting) -> bool:
        nbytes, lane = waiting.nbytes, self._lanes.get(waiting.event.slide)
        if lane is not None and lane.items:
            half = self._most // max(self._sharing, 1) // 2
            if lane.items > half or not self._within_share(lane, nbytes):
                return False  # a slide goes on when half of its share is free, not a buffer at a time
        if self._items and self._bytes + nbytes > self.max_bytes:
            waiting.passed_over += 1
            if waiting.passed_over <= self.max_items or self._bytes > self.max_bytes:
                return False
        self._enter(waiting.event, nbytes)
        _wake(waiting)
        return True


def size_of(event: Event) -> int | None:
    """Bytes that an event counts for, as one item; None for a slide's start and end, which count for nothing."""
    if type(event) is Buffer:
        return event.nbytes
    return None if isinstance(event, ALWAYS) else 0


def _wake(waiting: _Waiting) -> None:
    if not waiting.entered.done():
        waiting.entered.set_result(None)
