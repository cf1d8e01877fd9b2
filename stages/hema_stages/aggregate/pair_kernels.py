"""Numba kernels of the pair index; imported on first use, cached on disk, and they release the GIL."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

CELL = 128.0


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def bucket_of(row: Any, column: Any, buckets: Any) -> Any:
    """Hash a grid cell into one of ``buckets``, a power of two."""
    return (row * 73_856_093 ^ column * 19_349_663) & (buckets - 1)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def touched(boxes: Any, slots: Any) -> Any:
    """Count the grid cells that the boxes of slots touch."""
    total = 0
    for slot in slots:
        across = int(np.floor(boxes[slot, 2] / CELL)) - int(np.floor(boxes[slot, 0] / CELL)) + 1
        down = int(np.floor(boxes[slot, 3] / CELL)) - int(np.floor(boxes[slot, 1] / CELL)) + 1
        total += across * down
    return total


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def add(boxes: Any, slots: Any, buckets: Any, nodes: Any, free: Any, count: Any) -> None:
    """Enter the boxes of slots."""
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


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def remove(boxes: Any, slots: Any, buckets: Any, nodes: Any, free: Any, count: Any) -> None:
    """Take the boxes of slots out."""
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


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def near(queries: Any, boxes: Any, buckets: Any, nodes: Any) -> Any:
    """Find (row of query, slot) of every box that meets a query."""
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
