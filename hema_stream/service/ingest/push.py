"""A slide that is being pushed, across connections: which fields came, what may still come, what was found so far."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hema_stream.core.field import Box, Field, FieldsPassed, Scan
from hema_stream.service.ingest.limits import IngestLimits
from hema_stream.service.ingest.messages import CloseSaid, FieldSaid, WatermarkSaid

Figures = tuple[Mapping[str, int], Mapping[str, int]]
NEAR = 1e-6


class Sink(Protocol):
    """Where accepted fields go; tells the push which of them are kept. Must not wait: each field has a credit."""

    def push(self, slide: str, field: Field) -> None:
        """Take a field."""

    def pass_by(self, slide: str, passed: FieldsPassed) -> None:
        """Take a watermark, in its place among the fields."""

    def close(self, slide: str) -> None:
        """Take the end."""

    def abort(self, slide: str) -> None:
        """Give the slide up."""


@dataclass(frozen=True)
class Refusal:
    """Why something was not taken; ``code`` is for programs."""

    code: str
    message: str


@dataclass(frozen=True)
class Wanted:
    """Cells with a class after which there are enough; ``beside`` are white cells that do not count."""

    wbc: int
    rbc: int
    beside: tuple[str, ...] = ()

    def reached(self, counts: Mapping[str, int]) -> bool:
        """Whether there are enough of both."""
        return self._named(counts, "wbc") >= self.wbc and self._named(counts, "rbc") >= self.rbc

    def _named(self, counts: Mapping[str, int], stream: str) -> int:
        outside = {f"{stream}/{name}" for name in ("unknown", *self.beside)}
        return sum(n for name, n in counts.items() if name.startswith(f"{stream}/") and name not in outside)


@dataclass(frozen=True)
class Ended:
    """How the slide ended, and where its report is."""

    status: str
    url: str | None
    sha256: str | None
    counts: Mapping[str, int]
    progress: Mapping[str, int]


@dataclass(eq=False)
class Push:
    """One slide that is being pushed.

    Attributes:
        slide, name: its id, and what it is called; owner: id of the token that opened it.
        scan: as declared; wanted: when there is enough.
        figures: counts and progress of the moment.
        received: numbers of the fields that were accepted; under_way: of these, those that still need their room.
        watermark: nothing at or under it comes any more; taken: number of fields, once closed.
        ended: once the slide has.
        heard: when its scanner last said something; replaying: whether what was kept is still being gone through again.
        changed: called when something happened that a connection may have to tell.
    """

    slide: str
    name: str
    owner: str
    scan: Scan
    wanted: Wanted
    limits: IngestLimits
    sink: Sink
    figures: Callable[[], Figures] = lambda: ({}, {})
    received: set[int] = field(default_factory=set)
    under_way: set[int] = field(default_factory=set)
    sealed: list[Box] = field(default_factory=list)
    watermark: int = -1
    taken: int | None = None
    ended: Ended | None = None
    heard: float = 0.0
    replaying: bool = False
    changed: Callable[[int | None, str], None] = lambda index, verdict: None

    @property
    def room(self) -> int:
        """Fields that may be on their way besides those under way."""
        return self.scan.window - len(self.under_way)

    @property
    def over(self) -> bool:
        """Whether no field is taken any more."""
        return self.taken is not None or self.ended is not None

    def field(self, said: FieldSaid) -> Refusal | bool:
        """Take a field: True where it was accepted, False where it had been before, else why not."""
        if said.index in self.received:
            return False
        refusal = self._refusal(said)
        if refusal is not None:
            return refusal
        self.received.add(said.index)
        self.under_way.add(said.index)
        self.sink.push(self.slide, Field(said.index, said.x, said.y, said.encoding, said.data))
        return True

    def pass_by(self, said: WatermarkSaid) -> Refusal | None:
        """Take a watermark; one that says nothing new, or comes after the close, changes nothing."""
        if self.over:
            return None
        if said.index >= self._most:
            return Refusal("index", f"the scan has no field {said.index}")
        sealed = _box(said.sealed)
        if sealed is not None and not (sealed[0] < sealed[2] and sealed[1] < sealed[3]):
            return Refusal("sealed", "x0 < x1 and y0 < y1")
        if sealed is not None and sealed not in self.sealed and len(self.sealed) >= self.limits.sealed:
            return Refusal("sealed", f"a scan seals at most {self.limits.sealed} regions here")
        if said.index > self.watermark or (sealed is not None and sealed not in self.sealed):
            self.watermark = max(self.watermark, said.index)
            if sealed is not None:
                self.sealed.append(sealed)
            self.sink.pass_by(self.slide, FieldsPassed((), "watermark", through=self.watermark, sealed=sealed))
        return None

    def close(self, said: CloseSaid) -> Refusal | None:
        """Close the scan; a repeat changes nothing."""
        if self.over:
            return None
        least = max(max(self.received, default=-1), self.watermark) + 1
        if not least <= said.fields <= self._most:
            return Refusal("fields", f"{said.fields} fields: there are at least {least} and at most {self._most}")
        self.taken = said.fields
        self.sink.pass_by(self.slide, FieldsPassed((), "close", through=self.watermark, taken=self.taken))
        self.sink.close(self.slide)
        return None

    def expire(self, now: float) -> None:
        """Close the scan with what came where its scanner has room to send and has not been heard of for too long."""
        if self.over or self.replaying or not self.room:
            self.heard = now
        if now - self.heard < self.limits.patience:
            return
        fields = len(self.scan.grid) if self.scan.grid else max(max(self.received, default=-1), self.watermark) + 1
        self.close(CloseSaid(type="close", fields=fields))

    def abort(self) -> None:
        """Give the scan up; what was counted stays as a partial report."""
        if self.ended is None:
            self.taken = len(self.received) if self.taken is None else self.taken
            self.sink.abort(self.slide)

    # What the disk and the pipeline tell.

    def kept(self, index: int) -> None:
        """A field will not be lost any more."""
        self.changed(index, "kept")

    def not_kept(self, index: int) -> None:
        """A field could not be kept, and counts as not received."""
        self.received.discard(index)
        if index in self.under_way:
            self.under_way.discard(index)
            self.changed(index, "not_kept")

    def left(self, index: int, verdict: str) -> None:
        """A field needs its room no longer; its credit returns."""
        if index in self.under_way:
            self.under_way.discard(index)
            self.changed(index, verdict)

    def end(self, ended: Ended) -> None:
        """The slide has ended."""
        self.ended = ended
        self.under_way.clear()
        self.changed(None, ended.status)

    @property
    def _most(self) -> int:
        return len(self.scan.grid) if self.scan.grid else self.limits.fields

    def _refusal(self, said: FieldSaid) -> Refusal | None:
        if self.over:
            return Refusal("closed", "the scan is closed")
        if said.index >= self._most:
            return Refusal("index", f"the scan has no field {said.index}")
        if said.index <= self.watermark:
            return Refusal("late", f"the watermark {self.watermark} has passed it")
        size = self.scan.width * self.scan.height * 3
        if said.encoding == "raw" and len(said.data) != size:
            return Refusal("size", f"raw fields of this scan have {size} bytes, not {len(said.data)}")
        if zlib.crc32(said.data) != said.crc32:
            return Refusal("checksum", "the bytes are not those that were sent; send it again")
        return self._misplaced(said)

    def _misplaced(self, said: FieldSaid) -> Refusal | None:
        scan = self.scan
        if scan.grid is not None:
            x, y = scan.place(said.index, said.x, said.y)
            if max(abs(said.x - x), abs(said.y - y)) > self.limits.position:
                away = f"more than {self.limits.position:g} um off its place in the grid, ({x:g}, {y:g})"
                return Refusal("position", away)
            return None
        mpp = scan.mpp or 0.0
        box = (said.x, said.y, said.x + scan.width * mpp, said.y + scan.height * mpp)
        area = scan.extent(mpp)
        if box[0] < area[0] - NEAR or box[1] < area[1] - NEAR or box[2] > area[2] + NEAR or box[3] > area[3] + NEAR:
            return Refusal("position", "outside the area that was declared")
        if any(_meet(box, region) for region in self.sealed):
            return Refusal("sealed", "in a part of the area that was sealed")
        return None


def _box(given: list[float] | None) -> Box | None:
    return (given[0], given[1], given[2], given[3]) if given is not None else None


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] - NEAR and b[0] < a[2] - NEAR and a[1] < b[3] - NEAR and b[1] < a[3] - NEAR
