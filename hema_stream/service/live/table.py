"""The one table a slide that all its clients share: every counted cell with its outline, and how tiles ended."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stream.service.live.change import Change, Outlines
from hema_stream.service.live.columns import CELL, TILE, Columns, Layout, row_bytes

SMALLEST = 1024
OPEN = 255


class Table:
    """Cells in slots that never move while their cell is counted, so that it can be read in parts while it changes.

    Args:
        spill: bytes above which a column lies in a temporary file.
    """

    def __init__(self, spill: int) -> None:
        self.seq = 0
        self.counts: Mapping[str, int] = {}
        self.progress: Mapping[str, int] = {}
        self.unit = 1.0
        self._spill = spill
        self._cells = Columns.empty(CELL)
        self._alive = np.zeros(0, bool)
        self._added = np.zeros(0, np.int64)
        self._first = np.zeros(0, np.int64)
        self._corners = np.zeros(0, np.int32)
        self._vertices = np.zeros((0, 2), np.int16)
        self._used = self._vertices_used = self._vertices_wasted = 0
        self._free = np.zeros(0, np.int64)
        self._slots: dict[int, NDArray[np.int64]] = {}
        self._tiles = np.zeros(0, np.uint8)

    def __len__(self) -> int:
        """Count the counted cells."""
        return int(self._alive.sum())

    @property
    def end(self) -> int:
        """The first slot that was never used."""
        return self._used

    @property
    def tile_count(self) -> int:
        """Tiles up to the highest number that has ended."""
        return len(self._tiles)

    def apply(self, change: Change, outlines: Outlines) -> None:
        """Enter a change; ``outlines`` are those of its added cells."""
        self._retract(change.retracted)
        self._add(change.added, outlines, change.last)
        self._label(change.labelled)
        self._end_tiles(change.tiles)
        self.seq, self.counts, self.progress = change.last, change.counts, change.progress

    def alive(self, first: int, most: int) -> NDArray[np.int64]:
        """Up to ``most`` slots from ``first`` on that hold a counted cell."""
        return first + np.flatnonzero(self._alive[first : self._used])[:most]

    def cells(self, slots: NDArray[np.int64]) -> Columns:
        """Cell columns of slots."""
        return self._cells.take(slots)

    def tiles(self, first: int, most: int) -> Columns:
        """Tile columns of up to ``most`` tiles from ``first`` on, of those that have ended."""
        index = first + np.flatnonzero(self._tiles[first : first + most] != OPEN)
        return Columns.of(TILE, index=index, outcome=self._tiles[index])

    def meeting(self, box: tuple[float, float, float, float], since: int = 0) -> NDArray[np.int64]:
        """Slots of counted cells whose box meets a level-0 box, of those added after the change ``since``."""
        boxes = self._cells["box"][: self._used]
        x0, y0, x1, y1 = (value * 100 for value in box)
        meets = (boxes[:, 0] <= x1) & (boxes[:, 2] >= x0) & (boxes[:, 1] <= y1) & (boxes[:, 3] >= y0)
        return np.flatnonzero(meets & self._alive[: self._used] & (self._added[: self._used] > since))

    def still_alive(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the slots that hold a counted cell now."""
        return slots[self._alive[slots]]

    def corners(self, slots: NDArray[np.int64]) -> NDArray[np.int32]:
        """Number of vertices of each slot's outline."""
        return self._corners[slots]

    def outlines(self, slots: NDArray[np.int64]) -> Outlines:
        """Outlines of slots, in their order."""
        starts = np.concatenate([[0], np.cumsum(self._corners[slots], dtype=np.int64)])
        vertices = self._vertices[_ranges(self._first[slots], self._corners[slots])]
        return Outlines(starts, vertices, self.unit)

    # Within.

    def _slots_of(self, keys: NDArray[np.int32]) -> NDArray[np.int64]:
        """Slot of each key; -1 where it is not counted."""
        slots = np.full(len(keys), -1, np.int64)
        for tile in np.unique(keys[:, 0]).tolist():
            rows = np.flatnonzero(keys[:, 0] == tile)
            known = self._slots.get(tile, np.zeros(0, np.int64))
            numbers = keys[rows, 1]
            rows, numbers = rows[numbers < len(known)], numbers[numbers < len(known)]
            slots[rows] = known[numbers]
        return slots

    def _point(self, keys: NDArray[np.int32], slots: NDArray[np.int64]) -> None:
        for tile in np.unique(keys[:, 0]).tolist():
            rows = keys[:, 0] == tile
            known = self._slots.get(tile, np.zeros(0, np.int64))
            lacking = int(keys[rows, 1].max()) + 1 - len(known)
            known = np.append(known, np.full(max(lacking, 0), -1, np.int64))
            known[keys[rows, 1]] = slots[rows]
            self._slots[tile] = known

    def _retract(self, keys: NDArray[np.int32]) -> None:
        slots = self._slots_of(keys)
        keys, slots = keys[slots >= 0], slots[slots >= 0]
        self._alive[slots] = False
        self._vertices_wasted += int(self._corners[slots].sum())
        self._point(keys, np.full(len(keys), -1, np.int64))
        self._free = np.append(self._free, slots)

    def _add(self, cells: Columns, outlines: Outlines, seq: int) -> None:
        if not len(cells):
            return
        slots = self._slots_of(cells["keys"])
        self._vertices_wasted += int(self._corners[slots[slots >= 0]].sum())
        slots[slots < 0] = self._take_slots(int((slots < 0).sum()))
        for name in CELL:
            self._cells[name][slots] = cells[name]
        self._alive[slots], self._added[slots] = True, seq
        self._point(cells["keys"], slots)
        self.unit = outlines.unit
        self._keep_outlines(slots, outlines)

    def _label(self, labels: Columns) -> None:
        slots = self._slots_of(labels["keys"])
        for name in ("best", "confidence", "unknown"):
            self._cells[name][slots[slots >= 0]] = labels[name][slots >= 0]

    def _end_tiles(self, tiles: Columns) -> None:
        if not len(tiles):
            return
        lacking = int(tiles["index"].max()) + 1 - len(self._tiles)
        self._tiles = np.append(self._tiles, np.full(max(lacking, 0), OPEN, np.uint8))
        self._tiles[tiles["index"]] = tiles["outcome"]

    def _take_slots(self, count: int) -> NDArray[np.int64]:
        """Slots that were freed, then new ones."""
        again, self._free = self._free[:count], self._free[count:]
        fresh = np.arange(self._used, self._used + count - len(again))
        self._used += len(fresh)
        self._make_room(self._used)
        return np.append(again, fresh)

    def _make_room(self, slots: int) -> None:
        if slots <= len(self._alive):
            return
        room = max(2 * len(self._alive), slots, SMALLEST)
        self._cells = Columns(CELL, {name: self._grown(column, room) for name, column in self._cells.arrays.items()})
        self._alive, self._added = self._grown(self._alive, room), self._grown(self._added, room)
        self._first, self._corners = self._grown(self._first, room), self._grown(self._corners, room)

    def _keep_outlines(self, slots: NDArray[np.int64], outlines: Outlines) -> None:
        if self._vertices_wasted > self._vertices_used // 2 + SMALLEST:
            self._repack(slots)
        used = self._vertices_used + len(outlines.vertices)
        if used > len(self._vertices):
            self._vertices = self._grown(self._vertices, max(2 * len(self._vertices), used))
        self._first[slots] = self._vertices_used + outlines.starts[:-1]
        self._corners[slots] = np.diff(outlines.starts)
        self._vertices[self._vertices_used : used] = outlines.vertices
        self._vertices_used = used

    def _repack(self, leaving: NDArray[np.int64]) -> None:
        """Drop the outlines that no counted cell has any more; those of ``leaving`` are about to be replaced."""
        self._corners[leaving] = 0
        slots = self.alive(0, self._used)
        packed = self.outlines(slots)
        self._vertices[: len(packed.vertices)] = packed.vertices
        self._first[slots] = packed.starts[:-1]
        self._vertices_used, self._vertices_wasted = len(packed.vertices), 0

    def _grown(self, column: NDArray[Any], rows: int) -> NDArray[Any]:
        shape = (rows, *column.shape[1:])
        larger = self._allocate(shape, column.dtype)
        larger[: len(column)] = column
        return larger

    def _allocate(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Zeros in memory, or in a file without a name where they are large."""
        if int(np.prod(shape)) * dtype.itemsize <= self._spill:
            return np.zeros(shape, dtype)
        with tempfile.TemporaryFile(prefix="hema-live-") as file:
            return np.memmap(file, dtype, "w+", shape=shape)


def _ranges(first: NDArray[np.int64], lengths: NDArray[np.int32]) -> NDArray[np.int64]:
    """Numbers first[i] .. first[i] + lengths[i] - 1, for each i in turn."""
    ends = np.cumsum(lengths, dtype=np.int64)
    within = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - lengths, lengths)
    return np.repeat(first, lengths) + within


def part_rows(size: int, layout: Layout) -> int:
    """Rows of a layout that fit into a message of ``size`` bytes."""
    return max(size // row_bytes(layout), 1)
