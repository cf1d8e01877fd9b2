"""Pairs of boxes that overlap: a hashed uniform grid in numba. Cost follows the neighbours, never the slide."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class PairIndex:
    """Boxes by slot in a hashed uniform grid.

    A box is entered in every grid cell that it touches; removal unlinks it there.
    """

    def __init__(self) -> None:
        from hema_stages.aggregate import pair_kernels  # numba costs half a second, which an import should not

        self._kernels = pair_kernels
        self._buckets = np.full(1 << 12, -1, np.int64)
        self._nodes = np.full((1 << 12, 2), -1, np.int64)
        self._free = np.arange((1 << 12) - 1, -1, -1, dtype=np.int64)
        self._count = np.array([1 << 12, 0], np.int64)

    def add(self, boxes: NDArray[np.float64], slots: NDArray[np.int64]) -> None:
        """Enter the boxes of slots, (C, 4) and (N,)."""
        needed = int(self._kernels.touched(boxes, slots))
        while self._count[0] < needed:
            self._grow()
        if self._count[1] + needed > 2 * len(self._buckets):
            self._rehash(boxes, needed)
        self._kernels.add(boxes, slots, self._buckets, self._nodes, self._free, self._count)

    def remove(self, boxes: NDArray[np.float64], slots: NDArray[np.int64]) -> None:
        """Take the boxes of slots out."""
        self._kernels.remove(boxes, slots, self._buckets, self._nodes, self._free, self._count)

    def near(
        self, queries: NDArray[np.float64], boxes: NDArray[np.float64], margin: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find, for each query box (Q, 4), the slots whose box meets it widened by ``margin``: rows and slots (P,)."""
        wide = queries + np.array([-margin, -margin, margin, margin])
        pairs = self._kernels.near(wide, boxes, self._buckets, self._nodes)
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
        self._kernels.add(boxes, slots, self._buckets, self._nodes, self._free, self._count)
