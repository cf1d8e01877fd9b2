"""The tiles of a scan: each field is one, or several where it is larger than a tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor

from hema_stream.core.field import Grid
from hema_stream.core.slide import Scale
from hema_stream.core.tile import Box, TilePlan, TileSpec


@dataclass(frozen=True)
class FieldPlan:
    """Tiles by field: field ``i`` has the tiles ``i * per_field`` and following. Level-0 pixels from the scan's corner.

    With a grid all of them are known and each view has an owner; without one a tile's place is known when its field
    comes, and nobody owns anything.

    Attributes:
        width, height: of the scanned area.
        scale: maps canonical to level-0 pixels.
        field: width and height of a field.
        grid: with its steps in level-0 pixels; None where fields lie anywhere.
        side, overlap: of tiles within a field, canonical pixels.
        reach: farthest that a field may really lie from its nominal place.
    """

    width: int
    height: int
    scale: Scale
    field: tuple[int, int]
    grid: Grid | None = None
    side: int = 1024
    overlap: int = 160
    reach: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether no tile will be added."""
        return self.grid is not None

    @cached_property
    def columns(self) -> int:
        """Columns of tiles; 0 without a grid."""
        return self.grid.columns * self._sub[0] if self.grid else 0

    @cached_property
    def rows(self) -> int:
        """Rows of tiles; 0 without a grid."""
        return self.grid.rows * self._sub[1] if self.grid else 0

    @cached_property
    def per_field(self) -> int:
        """Tiles a field."""
        return self._sub[0] * self._sub[1]

    def __len__(self) -> int:
        """Count the tiles that are known."""
        return self.columns * self.rows

    def __iter__(self) -> Iterator[TileSpec]:
        """Walk the tiles that are known."""
        return (self.spec(tile) for tile in range(len(self)))

    def tiles(self, index: int) -> range:
        """Tiles of a field."""
        return range(index * self.per_field, (index + 1) * self.per_field)

    def place(self, index: int) -> tuple[float, float]:
        """Nominal upper left corner of a grid's field, level-0 pixels."""
        grid = self._grid
        column, row = grid.cell(index)
        return column * grid.step_x, row * grid.step_y

    def spec(self, tile: int) -> TileSpec:
        """Describe a tile of the grid."""
        index, number = divmod(tile, self.per_field)
        column, row = self._grid.cell(index)
        across = self._owned(self._grid.step_x, column, self._grid.columns, self.field[0])
        down = self._owned(self._grid.step_y, row, self._grid.rows, self.field[1])
        edges = (column > 0, row > 0, column < self._grid.columns - 1, row < self._grid.rows - 1)
        owned = (across[0], down[0], across[1], down[1])
        return self._spec(tile, number, self.place(index), owned, edges)

    def spec_at(self, index: int, number: int, place: tuple[float, float]) -> TileSpec:
        """Describe tile ``number`` of a field that lies anywhere; it owns nothing and all its edges may cut cells."""
        return self._spec(self.tiles(index)[number], number, place, None, (True,) * 4)

    def box(self, tile: int) -> Box:
        """Level-0 box of what is seen on a tile of the grid."""
        return self.level0(self.spec(tile).view)

    def level0(self, box: Box) -> Box:
        """A canonical box in level-0 pixels, clipped to the scanned area."""
        x0, y0, x1, y1 = (v * self.scale.canonical for v in box)
        return (max(x0, 0.0), max(y0, 0.0), min(x1, float(self.width)), min(y1, float(self.height)))

    def tiles_overlapping(self, box: Box) -> list[int]:
        """Tiles of the grid whose nominal box meets a level-0 box."""
        if self.grid is None:
            return []
        x0, y0, x1, y1 = box
        near = [
            tile
            for row in _meeting(y0, y1, self.grid.step_y, self.field[1], self.grid.rows)
            for column in _meeting(x0, x1, self.grid.step_x, self.field[0], self.grid.columns)
            for tile in self.tiles(self.grid.index(column, row))
        ]
        boxes = ((tile, self.box(tile)) for tile in near) if self.per_field > 1 else ((t, box) for t in near)
        return [tile for tile, b in boxes if b[0] <= x1 and b[2] >= x0 and b[1] <= y1 and b[3] >= y0]

    @property
    def _grid(self) -> Grid:
        if self.grid is None:
            raise ValueError("without a grid a tile's place is not known from its number")
        return self.grid

    @cached_property
    def _sub(self) -> tuple[int, int]:
        """Columns and rows of tiles within a field."""
        step = self.side - self.overlap
        lengths = (length / self.scale.canonical for length in self.field)
        across, down = (1 + max(ceil((length - self.side) / step), 0) for length in lengths)
        return across, down

    def _owned(self, step: float, number: int, count: int, length: float) -> tuple[float, float]:
        """What a field owns along an axis, level-0 pixels: up to the middle of each overlap."""
        start, shared = number * step, max(length - step, 0.0) / 2
        return start + (shared if number > 0 else 0.0), start + length - (shared if number < count - 1 else 0.0)

    def _spec(
        self,
        tile: int,
        number: int,
        place: tuple[float, float],
        owned: Box | None,
        edges: tuple[bool, bool, bool, bool],
    ) -> TileSpec:
        factor, step, half = self.scale.canonical, self.side - self.overlap, self.overlap / 2
        row, column = divmod(number, self._sub[0])
        left, top, right, bottom = column > 0, row > 0, column < self._sub[0] - 1, row < self._sub[1] - 1
        x, y = place[0] / factor + column * step, place[1] / factor + row * step
        end = ((place[0] + self.field[0]) / factor, (place[1] + self.field[1]) / factor)
        box = (x, y, x + self.side, y + self.side)
        seen = (x, y, min(box[2], end[0]), min(box[3], end[1]))
        core = (0.0, 0.0, 0.0, 0.0)
        if owned is not None:
            core = (
                x + half if left else owned[0] / factor,
                y + half if top else owned[1] / factor,
                box[2] - half if right else owned[2] / factor,
                box[3] - half if bottom else owned[3] / factor,
            )
            core = (
                max(core[0], owned[0] / factor),
                max(core[1], owned[1] / factor),
                min(core[2], owned[2] / factor),
                min(core[3], owned[3] / factor),
            )
        inner = (left or edges[0], top or edges[1], right or edges[2], bottom or edges[3])
        return TileSpec(tile, box, core, inner, seen)


SlidePlan = TilePlan | FieldPlan
"""Where the tiles of a slide lie, whether it is a file or comes field by field."""


def _meeting(low: float, high: float, step: float, length: float, count: int) -> range:
    """Numbers of the fields along an axis that meet an interval."""
    return range(max(ceil((low - length) / step), 0), min(floor(high / step), count - 1) + 1)
