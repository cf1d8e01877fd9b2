"""A scan without sockets: a sink that remembers, limits, and messages as a scanner makes them."""

from __future__ import annotations

import zlib
from typing import Any

import msgpack

from hema_stream.core.field import Field, FieldsPassed, Grid, Scan
from hema_stream.service.ingest import Push, Session, Wanted
from hema_stream.service.settings import load_limits

LIMITS = load_limits().ingest
SIDE = 4


class Remembered:
    """Where accepted fields go."""

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self.passed: list[FieldsPassed] = []
        self.closed = self.aborted = 0
        self.keeps, self.owner = True, None

    def push(self, slide: str, field: Field) -> None:
        self.fields.append(field)
        if self.keeps:
            self.owner.kept(field.index)

    def pass_by(self, slide: str, passed: FieldsPassed) -> None:
        self.passed.append(passed)

    def close(self, slide: str) -> None:
        self.closed += 1

    def abort(self, slide: str) -> None:
        self.aborted += 1

    @property
    def numbers(self) -> list[int]:
        return [field.index for field in self.fields]


def gridded(columns: int = 4, rows: int = 3, window: int = 6, fitted: int = 2) -> Scan:
    grid = Grid(columns, rows, 2.0, 2.0)
    return Scan(SIDE, SIDE, 1.0, None, (0.0, 0.0), grid, fitted, window)


def free(window: int = 6, fitted: int = 2) -> Scan:
    return Scan(SIDE, SIDE, 1.0, (0.0, 0.0, 100.0, 100.0), (0.0, 0.0), None, fitted, window)


def pushed(scan: Scan | None = None, **limits: Any) -> tuple[Push, Remembered]:
    sink = Remembered()
    made = LIMITS.model_copy(update=limits)
    push = Push("slide", "a slide", "owner", scan or gridded(), Wanted(2, 3, ("smudge",)), made, sink)
    sink.owner = push
    return push, sink


def field(index: int, scan: Scan | None = None, data: bytes = b"picture", **changes: Any) -> dict[str, Any]:
    grid = (scan or gridded()).grid
    column, row = grid.cell(index) if grid and index < len(grid) else (index % 10, index // 10)
    return {
        "type": "field",
        "index": index,
        "x": column * 2.0,
        "y": row * 2.0,
        "encoding": "jpeg",
        "crc32": zlib.crc32(data),
        "data": data,
        **changes,
    }


class Line:
    """One connection: what is said goes to the session at once, what it answers is read as it comes."""

    def __init__(self, push: Push, now: float = 0.0) -> None:
        self.now = now
        self.session = Session(push, now, lambda: None)

    def say(self, **message: Any) -> None:
        self.session.receive(msgpack.packb(message), self.now)

    def heard(self, *leave_out: str) -> list[dict[str, Any]]:
        found = []
        while frame := self.session.next_frame(self.now):
            found.append(msgpack.unpackb(frame))
        return [message for message in found if message["type"] not in leave_out]

    def hear(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard() if message["type"] == kind]
