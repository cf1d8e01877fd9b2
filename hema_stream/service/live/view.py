"""Answers to ``view``: the outlines of what can be seen, or how densely cells lie where there are too many."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.cells import Kind
from hema_stream.service.live.limits import LiveLimits
from hema_stream.service.live.messages import View
from hema_stream.service.live.snapshot import FRAME
from hema_stream.service.live.table import Table

BIN, COARSEST = 32.0, 31
CELL_BYTES, VERTEX_BYTES = 12, 4


def answer(table: Table, view: View, limits: LiveLimits) -> Iterator[dict[str, Any]]:
    """Walk the messages that answer a view."""
    x0, y0, x1, y1 = view.box
    box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    seen = table.meeting(box)
    if len(seen) > limits.view_cells:
        yield _density(table, view, box, seen, limits.density_side)
    else:
        yield from _contours(table, view, table.meeting(box, view.since), limits.part)


def _contours(table: Table, view: View, slots: NDArray[np.int64], size: int) -> Iterator[dict[str, Any]]:
    seq, parts = table.seq, _parts(table, slots, size - FRAME)
    for number, part in enumerate(parts, 1):
        alive = table.still_alive(part)
        outlines = table.outlines(alive)
        yield {
            "type": "contours",
            "view": view.view,
            "seq": seq,
            "more": number < len(parts),
            "unit": outlines.unit,
            "n": len(alive),
            "keys": table.cells(alive)["keys"].tobytes(),
            "starts": outlines.starts.astype("<u4").tobytes(),
            "vertices": outlines.vertices.astype("<i2").tobytes(),
        }


def _parts(table: Table, slots: NDArray[np.int64], room: int) -> list[NDArray[np.int64]]:
    """Slots in groups whose outlines fit into a message; at least one group, which may be empty."""
    sizes = np.cumsum(CELL_BYTES + VERTEX_BYTES * table.corners(slots).astype(np.int64))
    groups, first, before = [], 0, 0
    while first < len(slots):
        last = max(int(np.searchsorted(sizes, before + room, side="right")), first + 1)
        groups.append(slots[first:last])
        first, before = last, int(sizes[last - 1])
    return groups or [slots]


def _density(
    table: Table, view: View, box: tuple[float, float, float, float], slots: NDArray[np.int64], side: int
) -> dict[str, Any]:
    cells = table.cells(slots)
    centres = cells["centre"] / 100.0
    low, high = np.maximum(box[:2], centres.min(axis=0)), np.minimum(box[2:], centres.max(axis=0))
    level = view.level
    while level < COARSEST and max(_bins(low, high, level)) > side:
        level += 1
    step, (columns, rows) = BIN * 2**level, _bins(low, high, level)
    x, y = floor(low[0] / step), floor(low[1] / step)
    column = np.floor(centres[:, 0] / step).astype(np.int64) - x
    row = np.floor(centres[:, 1] / step).astype(np.int64) - y
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    place = (cells["kind"].astype(np.int64) * rows + row) * columns + column
    counts = np.bincount(place[inside], minlength=len(Kind) * rows * columns)
    return {
        "type": "density",
        "view": view.view,
        "seq": table.seq,
        "more": False,
        "level": level,
        "bin": step,
        "x": x * step,
        "y": y * step,
        "columns": columns,
        "rows": rows,
        "counts": counts.astype("<u4").tobytes(),
    }


def _bins(low: NDArray[np.float64], high: NDArray[np.float64], level: int) -> tuple[int, int]:
    """Columns and rows of squares that cover what lies between two corners."""
    step = BIN * 2**level
    columns, rows = (max(ceil((b + 1e-9) / step) - floor(a / step), 1) for a, b in zip(low, high, strict=True))
    return columns, rows
