"""Tables of cells: a struct of arrays, with contours packed behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.units import CONTOUR_UNIT


class Kind(IntEnum):
    """What the segmenter says a thing is."""

    RBC = 0
    WBC = 1
    PLATELET = 2


class Priority(IntEnum):
    """How good a view of a cell is, where tiles overlap."""

    EDGE = 0
    WHOLE = 1
    OWNED = 2


@dataclass(frozen=True, eq=False)
class CellTable:
    """N cells of one slide.

    Attributes:
        tile: (N,) int32 tile that saw the cell; index: (N,) int32 number within the tile. Together the key.
        kind: (N,) int8 ``Kind``.
        score: (N,) float32 detection score, 0..1.
        boxes: (N, 4) float64 xyxy, level-0 pixels.
        centroid: (N, 2) float64 xy of the mask, level-0 pixels.
        area: (N,) float32 mask area, canonical pixels.
        solidity: (N,) float32 mask area over that of its convex hull.
        priority: (N,) int8 ``Priority``.
        clump: (N,) int16 estimated cells in a clump; 0 for a single cell.
        vertices: (V, 2) int16 contour points in steps of ``CONTOUR_UNIT`` canonical pixels from the box's corner.
        starts: (N + 1,) int64 first vertex of each row.
        scale: level-0 pixels a canonical pixel.
    """

    tile: NDArray[np.int32]
    index: NDArray[np.int32]
    kind: NDArray[np.int8]
    score: NDArray[np.float32]
    boxes: NDArray[np.float64]
    centroid: NDArray[np.float64]
    area: NDArray[np.float32]
    solidity: NDArray[np.float32]
    priority: NDArray[np.int8]
    clump: NDArray[np.int16]
    vertices: NDArray[np.int16]
    starts: NDArray[np.int64]
    scale: float = 1.0

    @classmethod
    def empty(cls, scale: float = 1.0) -> CellTable:
        """Make a table without rows."""
        return cls(
            tile=np.zeros(0, np.int32),
            index=np.zeros(0, np.int32),
            kind=np.zeros(0, np.int8),
            score=np.zeros(0, np.float32),
            boxes=np.zeros((0, 4)),
            centroid=np.zeros((0, 2)),
            area=np.zeros(0, np.float32),
            solidity=np.zeros(0, np.float32),
            priority=np.zeros(0, np.int8),
            clump=np.zeros(0, np.int16),
            vertices=np.zeros((0, 2), np.int16),
            starts=np.zeros(1, np.int64),
            scale=scale,
        )

    @classmethod
    def concatenate(cls, tables: Sequence[CellTable]) -> CellTable:
        """Put tables of one slide behind each other."""
        if not tables:
            return cls.empty()
        shifts = np.cumsum([0] + [len(t.vertices) for t in tables[:-1]])
        starts = [t.starts[:-1] + shift for t, shift in zip(tables, shifts, strict=True)]
        total = sum(len(t.vertices) for t in tables)
        columns = {name: np.concatenate([getattr(t, name) for t in tables]) for name in (*_COLUMNS, "vertices")}
        return cls(**columns, starts=np.concatenate([*starts, [total]]), scale=tables[0].scale)

    def __len__(self) -> int:
        """Count the cells."""
        return len(self.tile)

    @property
    def rows(self) -> int:
        """Cells, as the runtime counts them."""
        return len(self.tile)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return int(sum(getattr(self, f.name).nbytes for f in fields(self) if f.name != "scale"))

    @property
    def keys(self) -> NDArray[np.int32]:
        """(N, 2) int32 of tile and index."""
        return np.stack([self.tile, self.index], axis=1)

    def cut(self, size: tuple[float, float]) -> NDArray[np.bool_]:
        """Whether the border of a picture (width, height in level-0 pixels) or of a tile cuts each cell, (N,) bool."""
        inside = (self.boxes[:, :2] >= self.scale).all(axis=1)
        inside &= (self.boxes[:, 2:] <= np.array(size) - self.scale).all(axis=1)
        return np.asarray(~inside | (self.priority == Priority.EDGE))

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> CellTable:
        """Choose rows by mask or by number, in the order given."""
        numbers = np.flatnonzero(rows) if rows.dtype == bool else rows
        lengths = np.diff(self.starts)[numbers]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        vertices = self.vertices[np.repeat(self.starts[:-1][numbers], lengths) + within]
        columns = {name: getattr(self, name)[numbers] for name in _COLUMNS}
        return CellTable(**columns, vertices=vertices, starts=starts, scale=self.scale)

    def with_columns(self, **columns: NDArray[np.generic]) -> CellTable:
        """Replace whole columns."""
        return replace(self, **columns)  # type: ignore[arg-type]

    def polygon(self, row: int) -> NDArray[np.float64]:
        """Contour of one cell: (K, 2) float64 xy, level-0 pixels, not closed."""
        steps = self.vertices[self.starts[row] : self.starts[row + 1]]
        corner: NDArray[np.float64] = self.boxes[row, :2]
        return corner + steps * (CONTOUR_UNIT * self.scale)


_COLUMNS = tuple(f.name for f in fields(CellTable) if f.name not in ("vertices", "starts", "scale"))
