"""A snapshot in parts, read from the table as it is when each part leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hema_stream.service.live.columns import CELL, TILE
from hema_stream.service.live.table import Table, part_rows

FRAME = 512
"""Bytes of a part that are not columns, on the safe side."""


def snapshot(table: Table, size: int) -> Iterator[dict[str, Any]]:
    """Walk the messages of a snapshot, parts of at most ``size`` bytes.

    Between two of them the table may change: a part shows it as it is then, and what a part has missed or shown too
    early is told again by the changes after the snapshot's number.
    """
    seq = table.seq
    yield {"type": "snapshot_begin", "seq": seq, "counts": dict(table.counts), "progress": dict(table.progress)}
    yield from _tiles(table, size - FRAME)
    yield from _cells(table, size - FRAME)
    yield {"type": "snapshot_end", "seq": seq}


def _tiles(table: Table, room: int) -> Iterator[dict[str, Any]]:
    step, none = part_rows(room, TILE), table.cells(table.alive(0, 0)).pack()
    for first in range(0, table.tile_count, step):
        yield {"type": "snapshot_part", "cells": none, "tiles": table.tiles(first, step).pack()}


def _cells(table: Table, room: int) -> Iterator[dict[str, Any]]:
    step, none, first = part_rows(room, CELL), table.tiles(0, 0).pack(), 0
    while len(slots := table.alive(first, step)):
        yield {"type": "snapshot_part", "cells": table.cells(slots).pack(), "tiles": none}
        first = int(slots[-1]) + 1
