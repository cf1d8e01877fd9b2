"""A link: a bounded queue between two pads, with a lane a slide and a control lane that never waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from time import perf_counter
from typing import Literal

from hema_stream.flow.events import Batch, Buffer, Event, Gap, GapEvent
from hema_stream.flow.payload import units_of
from hema_stream.flow.statistics import LinkStatistics

Leaky = Literal["no", "upstream", "downstream"]
SHARED_LANE = ""


class Link:
    """Bounded by items and bytes, the first reached counts; one buffer larger than the byte limit passes alone.

    Each slide has a lane, so that one whose consumer is slow does not fill the others' share. Control events keep
    their place in the lane and take no space. Where batches of several slides pass, all share one lane.

    Args:
        name: ``a.src -> b.sink``.
        max_items, max_bytes: limits.
        leaky: ``upstream`` refuses the newest buffer when full, ``downstream`` drops the oldest; each leaves a gap.
        wake: called when there is something to pop.
        shared: one lane for all slides.
    """

    def __init__(
        self,
        name: str,
        max_items: int,
        max_bytes: int,
        wake: Callable[[], None],
        leaky: Leaky = "no",
        shared: bool = False,
    ) -> None:
        if max_items < 1 or max_bytes < 1:
            raise ValueError(f"{name}: a link holds at least one item and one byte")
        self.name, self.max_items, self.max_bytes, self.leaky = name, max_items, max_bytes, leaky
        self._wake, self._shared = wake, shared
        self._lanes: dict[str, deque[Event]] = {}
        self._counts: dict[str, int] = {}
        self._priorities: dict[str, int] = {}
        self._turn: deque[str] = deque()
        self._waiting: deque[tuple[str, asyncio.Future[bool]]] = deque()
        self._items = self._bytes = self._in = self._out = self._dropped = self._bytes_in = 0
        self._high = self._high_bytes = 0
        self._blocked = 0.0

    def __len__(self) -> int:
        """Count the events queued, control events too."""
        return sum(len(lane) for lane in self._lanes.values())

    def open(self, slide: str, priority: int) -> None:
        """Make the slide's lane; higher priorities are popped first."""
        self._priorities[slide] = priority

    def has_room(self, slide: str, nbytes: int) -> bool:
        """Whether a buffer of the slide may enter now."""
        if not self._items:
            return True
        if self._items >= self.max_items or self._bytes + nbytes > self.max_bytes:
            return False
        share = max(self.max_items // max(len(self._counts), 1), 1)
        return self._shared or self._counts.get(slide, 0) < share or len(self._counts) < 2

    def offer(self, event: Event) -> bool:
        """Enter an event if there is room; control events always find it."""
        if not isinstance(event, Buffer | Batch):
            self._enter(event)
            return True
        nbytes = event.nbytes
        if not self.has_room(event.slide, nbytes):
            return self.leaky != "no" and self._leak(event, nbytes)
        self._enter(event)
        self._count(event.slide, 1, nbytes)
        return True

    async def put(self, event: Event) -> None:
        """Enter an event, waiting for room: this is the backpressure.

        What waits when its slide is purged never enters.
        """
        if self.offer(event):
            return
        began = perf_counter()
        while True:
            room: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._waiting.append((event.slide, room))
            try:
                if not await room:
                    return
            finally:
                self._blocked += perf_counter() - began
                began = perf_counter()
            if self.offer(event):
                return

    def pop(self, skip: Collection[str] = (), buffers: bool = True) -> Event | None:
        """Take the next event: by priority, then in turn; None where there is none to take.

        Args:
            skip: slides that cannot go on just now.
            buffers: False takes control events only, for a stage whose workers are all busy.
        """
        lane = self._choose(skip, buffers)
        if lane is None:
            return None
        event = self._lanes[lane].popleft()
        if not self._lanes[lane]:
            del self._lanes[lane]
            self._turn.remove(lane)
        elif len(self._turn) > 1:
            self._turn.remove(lane)
            self._turn.append(lane)
        if isinstance(event, Buffer | Batch):
            self._out += 1
            self._count(event.slide, -1, -event.nbytes)
            self._admit()
        return event

    def purge(self, slide: str) -> None:
        """Throw away all that is queued of a slide."""
        if self._shared:
            self._purge_shared(slide)
        else:
            for event in self._lanes.pop(slide, ()):
                if isinstance(event, Buffer):
                    self._count(slide, -1, -event.nbytes)
            if slide in self._turn:
                self._turn.remove(slide)
        self._priorities.pop(slide, None)
        for waiting, room in self._waiting:
            if waiting == slide and not room.done():
                room.set_result(False)
        self._admit()

    def flush(self, slide: str) -> None:
        """Turn what is queued of a slide into gaps, each in its place; the slide goes on."""
        lane = self._lanes.get(SHARED_LANE if self._shared else slide, deque())
        events = [event for queued in lane for event in self._flushed(queued, slide)]
        lane.clear()
        lane.extend(events)
        self._wake()
        self._admit()

    def statistics(self) -> LinkStatistics:
        """Take the figures as they stand."""
        return LinkStatistics(
            self._in,
            self._out,
            self._dropped,
            self._bytes_in,
            self._items,
            self._bytes,
            self._high,
            self._high_bytes,
            self.max_items,
            self.max_bytes,
            self._blocked,
        )

    def _choose(self, skip: Collection[str], buffers: bool) -> str | None:
        best: str | None = None
        for slide in self._turn:
            if slide in skip or (not buffers and isinstance(self._lanes[slide][0], Buffer | Batch)):
                continue
            if best is None or self._priorities.get(slide, 0) > self._priorities.get(best, 0):
                best = slide
        return best

    def _enter(self, event: Event) -> None:
        key = SHARED_LANE if self._shared else event.slide
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = deque()
            self._turn.append(key)
        lane.append(event)
        self._wake()

    def _count(self, slide: str, items: int, nbytes: int) -> None:
        self._items += items
        self._bytes += nbytes
        count = self._counts.get(slide, 0) + items
        if count:
            self._counts[slide] = count
        else:
            self._counts.pop(slide, None)
        if items > 0:
            self._in += 1
            self._bytes_in += nbytes
            self._high, self._high_bytes = max(self._high, self._items), max(self._high_bytes, self._bytes)

    def _admit(self) -> None:
        """Wake those who wait for room; each tries again in the order of waiting."""
        if self._waiting and self._items < self.max_items:
            for _, room in self._waiting:
                if not room.done():
                    room.set_result(True)
            self._waiting.clear()

    def _leak(self, event: Buffer | Batch, nbytes: int) -> bool:
        """Make room by dropping the oldest; where none gives any, or none may, the newest is refused."""
        while self.leaky == "downstream" and not self.has_room(event.slide, nbytes):
            if not self._drop_oldest(self._fullest(event.slide)):
                break
        if self.has_room(event.slide, nbytes):
            self._enter(event)
            self._count(event.slide, 1, nbytes)
        else:
            self._dropped += 1
            self._enter(_dropped(event))
        return True

    def _fullest(self, slide: str) -> str:
        """Name the lane to drop from: the slide's own, or the one with the most buffers where it has none."""
        return slide if slide in self._counts else max(self._counts, key=self._counts.__getitem__, default=slide)

    def _drop_oldest(self, slide: str) -> bool:
        lane = self._lanes.get(slide, deque())
        for place, queued in enumerate(lane):
            if isinstance(queued, Buffer):
                lane[place] = _dropped(queued)
                self._dropped += 1
                self._count(slide, -1, -queued.nbytes)
                return True
        return False

    def _flushed(self, event: Event, slide: str) -> list[Event]:
        """Replace an event of the slide's, or its part of a batch, by a gap."""
        if isinstance(event, Buffer) and event.slide == slide:
            self._count(slide, -1, -event.nbytes)
            self._dropped += 1
            return [flushed(event)]
        if not isinstance(event, Batch) or not any(part.slide == slide for part in event.parts):
            return [event]
        before = event.nbytes
        gaps: list[Event] = [flushed(Buffer(slide, part.item)) for part in event.parts if part.slide == slide]
        event.parts = [part for part in event.parts if part.slide != slide]
        self._bytes += event.nbytes - before
        self._dropped += len(gaps)
        if event.parts:
            return [*gaps, event]
        self._count(event.slide, -1, 0)
        return gaps

    def _purge_shared(self, slide: str) -> None:
        for lane in self._lanes.values():
            kept: list[Event] = []
            for event in lane:
                if isinstance(event, Batch):
                    before = event.nbytes
                    event.parts = [part for part in event.parts if part.slide != slide]
                    self._bytes += event.nbytes - before
                    if event.parts:
                        kept.append(event)
                    else:
                        self._count(event.slide, -1, 0)
                elif event.slide != slide:
                    kept.append(event)
                elif isinstance(event, Buffer):
                    self._count(slide, -1, -event.nbytes)
            lane.clear()
            lane.extend(kept)
        for key in [key for key, lane in self._lanes.items() if not lane]:
            del self._lanes[key]
            self._turn.remove(key)


def flushed(event: Buffer) -> GapEvent:
    """Stand in for a buffer that was flushed."""
    return GapEvent(event.slide, Gap(units_of(event.item), "flushed"))


def _dropped(event: Event) -> GapEvent:
    item = event.item if isinstance(event, Buffer) else None
    return GapEvent(event.slide, Gap(units_of(item), "dropped"))
