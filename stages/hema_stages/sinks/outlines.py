"""Outlines of cells on a picture, drawn style by style, some thousand at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hema_stages.sinks.palette import Style, styles
from hema_stream.core.cells import CellTable
from hema_stream.core.naming import Naming
from hema_stream.core.units import CONTOUR_UNIT

CHUNK = 4096
"""Cells whose outlines are placed at once: what drawing holds follows this, not the slide."""
SHIFT = 3
"""Binary digits behind the point of OpenCV's coordinates: outlines lie at eighths of a pixel."""
DASHES = 10
STAIR_PX = 3.0
"""Steps of up to this many canonical pixels are a mask's stairs and are smoothed; longer edges are real."""
STEP_PX = 3.0
"""Points closer than this on the picture are left out: the outline moves by less than a tenth of a pixel."""
WHITE = (255, 255, 255)
CELL_UM = 7.5


@dataclass(frozen=True, eq=False)
class Outlines:
    """Contours of a table in a picture's pixels.

    Attributes:
        points: (V, 2) float64 xy.
        starts: (N + 1,) int64 first point of each cell.
    """

    points: NDArray[np.float64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, cells: CellTable, zoom: float) -> Outlines:
        """Place contours on a picture of ``zoom`` pixels a level-0 pixel; stairs are smoothed where they would show."""
        corners = np.repeat(cells.boxes[:, :2], np.diff(cells.starts), axis=0)
        steps = cells.vertices * CONTOUR_UNIT
        points = (corners + steps * cells.scale) * zoom
        if zoom * cells.scale > 1:
            points = _smoothed(points, cells.starts, STAIR_PX * zoom * cells.scale)
        return cls(points, cells.starts).thinned(STEP_PX)

    def thinned(self, step: float) -> Outlines:
        """Keep a point of each ``step`` pixels along the way; eight at least, where there are so many."""
        walked, length = self._walked()
        step_of = np.minimum(step, length / 8)[self.owner]
        number = np.floor(walked / np.maximum(step_of, 1e-9))
        kept = np.ones(len(self.points), bool)
        kept[1:] = (np.diff(number) != 0) | (np.diff(self.owner) != 0)
        counts = np.bincount(self.owner[kept], minlength=len(self.starts) - 1)
        return Outlines(self.points[kept], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """(V,) cell of each point."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def dashes(self) -> NDArray[np.float64]:
        """(N * DASHES, K, 2) pieces of the outlines, as long as the gaps between them."""
        rings = [np.append(self.points[a:b], self.points[a : a + 1], axis=0) for a, b in pairwise(self.starts.tolist())]
        return np.concatenate([_pieces(ring) for ring in rings])

    def _walked(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(V,) way from an outline's first point to each of its points, and (N,) the way around."""
        following = _neighbours(self.starts)[1]
        way = np.concatenate([[0.0], np.cumsum(np.hypot(*(self.points[following] - self.points).T))])
        return way[:-1] - way[self.starts[:-1]][self.owner], np.diff(way[self.starts])


def draw_outlines(
    canvas: NDArray[np.uint8],
    cells: CellTable,
    style: NDArray[np.int16],
    zoom: float,
    um: float,
    naming: Naming | None = None,
) -> None:
    """Draw every outline on ``canvas``, (H, W, 3) uint8 RGB; marked ones last, so that nothing covers them.

    Args:
        style: (N,) position in ``styles(naming)``.
        zoom: canvas pixels a level-0 pixel.
        um: microns a canvas pixel; lines are as thick as cells are large.
        naming: the result's.
    """
    thick = int(np.clip(round(CELL_UM / um / 45), 1, 4))
    listed = styles(naming)
    for position in sorted(np.unique(style).tolist(), key=lambda p: (listed[p].marked, -p)):
        rows = np.flatnonzero(style == position)
        for first in range(0, len(rows), CHUNK):
            outlines = Outlines.of(cells.take(rows[first : first + CHUNK]), zoom)
            _draw(canvas, outlines, listed[position], thick)


def _draw(canvas: NDArray[np.uint8], outlines: Outlines, style: Style, thick: int) -> None:
    rings = np.split(_fixed(outlines.points), outlines.starts[1:-1])
    if style.dashed:
        _lines(canvas, rings, WHITE, thick, closed=True)
        _lines(canvas, list(_fixed(outlines.dashes())), style.colour, thick, closed=False)
    else:
        _ring(canvas, rings, style, thick)


def _ring(canvas: NDArray[np.uint8], rings: list[NDArray[np.int32]], style: Style, thick: int) -> None:
    if style.marked:
        _lines(canvas, rings, WHITE, 2 * thick + 2, closed=True, smooth=thick > 1)
    _lines(canvas, rings, style.colour, 2 * thick if style.marked else thick, closed=True)


def _lines(
    canvas: NDArray[np.uint8],
    rings: list[NDArray[np.int32]],
    colour: tuple[int, ...],
    thick: int,
    *,
    closed: bool,
    smooth: bool = True,
) -> None:
    """Draw lines in one call; smooth ones take three times as long."""
    import cv2

    cv2.polylines(canvas, rings, closed, colour, thick, cv2.LINE_AA if smooth else cv2.LINE_8, SHIFT)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Points in eighths of a pixel; OpenCV counts from the centre of a pixel."""
    return np.round((points - 0.5) * (1 << SHIFT)).astype(np.int32)


def _pieces(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """(DASHES, 4, 2) every other piece of a closed outline (K, 2), cut at even distances along it."""
    way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(ring, axis=0).T))])
    at = (2 * np.arange(DASHES)[:, None] + np.linspace(0, 1, 4)) * way[-1] / (2 * DASHES)
    return np.stack([np.interp(at, way, ring[:, axis]) for axis in (0, 1)], axis=-1)


def _smoothed(points: NDArray[np.float64], starts: NDArray[np.int64], stair: float) -> NDArray[np.float64]:
    """Move each point between its neighbours (1, 2, 1), where both are no further than a stair."""
    before, after = (points[neighbour] for neighbour in _neighbours(starts))
    near = (np.hypot(*(before - points).T) <= stair) & (np.hypot(*(after - points).T) <= stair)
    return np.where(near[:, None], (before + 2 * points + after) / 4, points)


def _neighbours(starts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of the point before and after each one, around its own outline."""
    total, filled = int(starts[-1]), np.diff(starts) > 0
    before, after = np.arange(-1, total - 1), np.arange(1, total + 1)
    heads, ends = starts[:-1][filled], starts[1:][filled]
    before[heads], after[ends - 1] = ends - 1, heads
    return before, after
