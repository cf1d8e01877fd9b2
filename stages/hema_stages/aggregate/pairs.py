"""Pairs of boxes that overlap: a hashed uniform grid in numba. Cost follows the neighbours, never the slide."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

CELL = 128.0


class PairIndex:
    """Boxes by slot in a hashed uniform grid.

    A box is entered in every grid cell that it touches; removal unlinks it there.
    """

    def __init__(self) -> None:
        self._buckets = np.full(1 << 12, -1, np.int64)
        self._nodes = np.full((1 << 12, 2), -1, np.int64)
        self._free = np.arange((1 << 12) - 1, -1, -1, dtype=np.int64)
        self._count = np.array([1 << 12, 0], np.int64)

    def add(self, boxes: NDArray[np.float64], slots: NDArray[np.int64]) -> None:
        """Enter the boxes of slots, (C, 4) and (N,)."""
        needed = int(_kernels()["touched"](boxes, slots))
        while self._count[0] < needed:
            self._grow()
        if self._count[1] + needed > 2 * len(self._buckets):
            self._rehash(boxes, needed)
        _kernels()["add"](boxes, slots, self._buckets, self._nodes, self._free, self._count)

    def remove(self, boxes: NDArray[np.float64], slots: NDArray[np.int64]) -> None:
        """Take the boxes of slots out."""
        _kernels()["remove"](boxes, slots, self._buckets, self._nodes, self._free, self._count)

    def near(
        self, queries: NDArray[np.float64], boxes: NDArray[np.float64], margin: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find, for each query box (Q, 4), the slots whose box meets it widened by ``margin``: rows and slots (P,)."""
        wide = queries + np.array([-margin, -margin, margin, margin])
        pairs = _kernels()["near"](wide, boxes, self._buckets, self._nodes)
        return pairs[:, 0], pairs[:, 1]

    def _grow(self) -> None:
        old = len(self._nodes)
        self._nodes = np.concatenate([self._nodes, np.full_like(self._nodes, -1)])
        free = np.empty(2 * old, np.int64)
        left = int(self._count[0])
        free[:left] = self._free[:left]
        free[left : left + old] = np.arange(2 * old - 1, old - 1, -1)
        self._free = free
        self._count[0] += old

    def _rehash(self, boxes: NDArray[np.float64], needed: int) -> None:
        slots = np.unique(self._nodes[self._nodes[:, 0] >= 0, 0])
        while int(self._count[1]) + needed > 2 * len(self._buckets):
            self._buckets = np.full(2 * len(self._buckets), -1, np.int64)
        self._buckets[:] = -1
        self._nodes[:] = -1
        self._free = np.arange(len(self._nodes) - 1, -1, -1, dtype=np.int64)
        self._count[:] = (len(self._nodes), 0)
        _kernels()["add"](boxes, slots, self._buckets, self._nodes, self._free, self._count)


@cache
def _kernels() -> dict[str, Callable[..., Any]]:
    """Compile on first use: importing numba takes half a second that nobody should pay for an import."""
    from numba import njit

    bucket_of = njit(cache=True, nogil=True, inline="always")(_bucket_of)

    def touched(boxes: Any, slots: Any) -> Any:
        total = 0
        for slot in slots:
            across = int(np.floor(boxes[slot, 2] / CELL)) - int(np.floor(boxes[slot, 0] / CELL)) + 1
            down = int(np.floor(boxes[slot, 3] / CELL)) - int(np.floor(boxes[slot, 1] / CELL)) + 1
            total += across * down
        return total

    def add(boxes: Any, slots: Any, buckets: Any, nodes: Any, free: Any, count: Any) -> None:
        for slot in slots:
            for row in range(int(np.floor(boxes[slot, 1] / CELL)), int(np.floor(boxes[slot, 3] / CELL)) + 1):
                for column in range(int(np.floor(boxes[slot, 0] / CELL)), int(np.floor(boxes[slot, 2] / CELL)) + 1):
                    bucket = bucket_of(row, column, len(buckets))
                    count[0] -= 1
                    node = free[count[0]]
                    nodes[node, 0] = slot
                    nodes[node, 1] = buckets[bucket]
                    buckets[bucket] = node
                    count[1] += 1

    def remove(boxes: Any, slots: Any, buckets: Any, nodes: Any, free: Any, count: Any) -> None:
        for slot in slots:
            for row in range(int(np.floor(boxes[slot, 1] / CELL)), int(np.floor(boxes[slot, 3] / CELL)) + 1):
                for column in range(int(np.floor(boxes[slot, 0] / CELL)), int(np.floor(boxes[slot, 2] / CELL)) + 1):
                    bucket = bucket_of(row, column, len(buckets))
                    before, node = -1, buckets[bucket]
                    while node >= 0 and nodes[node, 0] != slot:
                        before, node = node, nodes[node, 1]
                    if node < 0:
                        continue
                    if before < 0:
                        buckets[bucket] = nodes[node, 1]
                    else:
                        nodes[before, 1] = nodes[node, 1]
                    nodes[node, 0] = -1
                    nodes[node, 1] = -1
                    free[count[0]] = node
                    count[0] += 1
                    count[1] -= 1

    def near(queries: Any, boxes: Any, buckets: Any, nodes: Any) -> Any:
        found = np.empty((64, 2), np.int64)
        total = 0
        for q in range(len(queries)):
            x0, y0, x1, y1 = queries[q, 0], queries[q, 1], queries[q, 2], queries[q, 3]
            begin = total
            for row in range(int(np.floor(y0 / CELL)), int(np.floor(y1 / CELL)) + 1):
                for column in range(int(np.floor(x0 / CELL)), int(np.floor(x1 / CELL)) + 1):
                    node = buckets[bucket_of(row, column, len(buckets))]
                    while node >= 0:
                        slot = nodes[node, 0]
                        node = nodes[node, 1]
                        if boxes[slot, 0] > x1 or boxes[slot, 2] < x0 or boxes[slot, 1] > y1 or boxes[slot, 3] < y0:
                            continue
                        again = False
                        for k in range(begin, total):
                            if found[k, 1] == slot:
                                again = True
                                break
                        if again:
                            continue
                        if total == len(found):
                            larger = np.empty((2 * total, 2), np.int64)
                            larger[:total] = found
                            found = larger
                        found[total, 0] = q
                        found[total, 1] = slot
                        total += 1
        return found[:total].copy()

    functions = {"touched": touched, "add": add, "remove": remove, "near": near}
    return {name: njit(nogil=True)(function) for name, function in functions.items()}


def _bucket_of(row: Any, column: Any, buckets: Any) -> Any:
    return (row * 73_856_093 ^ column * 19_349_663) & (buckets - 1)
