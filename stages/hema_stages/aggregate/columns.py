"""Detections by slot, in arrays that grow; freed slots are used again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stages.aggregate.overlap import Contours, polygons

Rank = tuple[int, float, int, int]


class Columns:
    """Struct of arrays over slots.

    Attributes:
        boxes: (C, 4) float64; scores: (C,) float32; classes, priority: (C,) int64; tile, index: (C,) int64.
        kept: (C,) bool; struck: (C,) bool, suppressed by one that is final; open_tiles: (C,) int32.
        area: (C,) float64 and ``shapes`` of outlines, for the metric ``mask`` only.
    """

    def __init__(self) -> None:
        self.boxes = np.zeros((0, 4))
        self.scores = np.zeros(0, np.float32)
        self.classes = np.zeros(0, np.int64)
        self.priority = np.zeros(0, np.int64)
        self.tile = np.zeros(0, np.int64)
        self.index = np.zeros(0, np.int64)
        self.kept = np.zeros(0, bool)
        self.struck = np.zeros(0, bool)
        self.open_tiles = np.zeros(0, np.int32)
        self.area = np.zeros(0)
        self.shapes: dict[int, Any] = {}
        self._free: list[int] = []

    def add(
        self,
        tile: int,
        boxes: NDArray[np.float64],
        scores: NDArray[np.floating],
        classes: NDArray[np.integer],
        priority: NDArray[np.int64],
        contours: Contours | None,
    ) -> NDArray[np.int64]:
        """Enter a tile's detections; returns their slots in order."""
        while len(self._free) < len(boxes):
            self._grow()
        slots = np.array([self._free.pop() for _ in range(len(boxes))], np.int64)
        self.boxes[slots], self.scores[slots], self.classes[slots] = boxes, scores, classes
        self.priority[slots], self.tile[slots], self.index[slots] = priority, tile, np.arange(len(boxes))
        self.kept[slots] = self.struck[slots] = False
        self.open_tiles[slots] = 0
        if contours is not None:
            made = polygons(contours)
            self.shapes.update(zip(slots.tolist(), made, strict=True))
            self.area[slots] = [shape.area for shape in made]  # type: ignore[attr-defined]
        return slots

    def free(self, slots: Sequence[int]) -> None:
        """Let slots be used again."""
        self._free.extend(slots)
        for slot in slots:
            self.shapes.pop(slot, None)

    def box(self, slot: int) -> tuple[float, float, float, float]:
        """One box."""
        x0, y0, x1, y1 = self.boxes[slot].tolist()
        return x0, y0, x1, y1

    def rank(self, slot: int) -> Rank:
        """Sort key: smaller is better."""
        return (
            -int(self.priority[slot]),
            -float(self.scores[slot]),
            int(self.tile[slot]),
            int(self.index[slot]),
        )

    def better(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each a is better than its b."""
        out = np.zeros(len(a), bool)
        open_ = np.ones(len(a), bool)
        for mine, theirs in (
            (-self.priority[a], -self.priority[b]),
            (-self.scores[a], -self.scores[b]),
            (self.tile[a], self.tile[b]),
            (self.index[a], self.index[b]),
        ):
            out |= open_ & (mine < theirs)
            open_ &= mine == theirs
        return out

    def table(
        self, slots: Sequence[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float32], NDArray[np.int64]]:
        """Ids, boxes, scores and classes of slots, in the order of the ids."""
        chosen = np.array(slots, np.int64)
        chosen = chosen[np.lexsort((self.index[chosen], self.tile[chosen]))]
        ids = np.stack([self.tile[chosen], self.index[chosen]], axis=1)
        return ids, self.boxes[chosen], self.scores[chosen], self.classes[chosen]

    def _grow(self) -> None:
        old = len(self.boxes)
        new = max(2 * old, 1024)
        for name in ("boxes", "scores", "classes", "priority", "tile", "index", "kept", "struck", "open_tiles", "area"):
            column = getattr(self, name)
            larger = np.zeros((new, *column.shape[1:]), column.dtype)
            larger[:old] = column
            setattr(self, name, larger)
        self._free.extend(range(new - 1, old - 1, -1))
