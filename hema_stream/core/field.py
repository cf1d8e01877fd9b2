"""Fields: the pictures that a scanner takes one after another, and what it says about where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hema_stream.flow import Gap

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Grid:
    """Where fields lie that are taken in a regular grid.

    Attributes:
        columns, rows: number of fields.
        step_x, step_y: from one field to the next, um.
        snake: whether every second row runs backwards; else each row runs from left to right.
    """

    columns: int
    rows: int
    step_x: float
    step_y: float
    snake: bool = False

    def __len__(self) -> int:
        """Count the fields."""
        return self.columns * self.rows

    def cell(self, index: int) -> tuple[int, int]:
        """Column and row of a field by its number."""
        row, column = divmod(index, self.columns)
        return (self.columns - 1 - column if self.snake and row % 2 else column), row

    def index(self, column: int, row: int) -> int:
        """Number of the field at a column and row."""
        return row * self.columns + (self.columns - 1 - column if self.snake and row % 2 else column)


@dataclass(frozen=True)
class Scan:
    """What a scanner declares before its first field.

    Attributes:
        width, height: of every field, pixels.
        mpp: microns a pixel, or None where the scanner does not know.
        area: (x0, y0, x1, y1) um, stage coordinates within which fields lie; None where the grid says it.
        origin: um, upper left corner of the field in the grid's first column and row.
        grid: None where fields may lie anywhere in the area.
        fitted: K, fields that stain and scale are fitted on.
        window: fields that wait for the calibration at most; also the first grant of credits.
        folder: where its fields are kept; None where they are not.
    """

    width: int
    height: int
    mpp: float | None = None
    area: Box | None = None
    origin: tuple[float, float] = (0.0, 0.0)
    grid: Grid | None = None
    fitted: int = 4
    window: int = 12
    folder: Path | None = None

    @property
    def corner(self) -> tuple[float, float]:
        """Upper left corner of what is scanned, um."""
        return self.origin if self.area is None else (self.area[0], self.area[1])

    def place(self, index: int, x: float, y: float) -> tuple[float, float]:
        """Nominal place of a field, um: the grid's, or where the stage says."""
        if self.grid is None:
            return x, y
        column, row = self.grid.cell(index)
        return self.origin[0] + column * self.grid.step_x, self.origin[1] + row * self.grid.step_y

    def extent(self, mpp: float) -> Box:
        """(x0, y0, x1, y1) um that is scanned, once the scale is known."""
        if self.area is not None:
            return self.area
        if self.grid is None:
            raise ValueError("a scan has a grid or an area")
        x, y = self.origin
        across = (self.grid.columns - 1) * self.grid.step_x + self.width * mpp
        return (x, y, x + across, y + (self.grid.rows - 1) * self.grid.step_y + self.height * mpp)


@dataclass(frozen=True, eq=False)
class Field:
    """One picture as it was sent.

    Attributes:
        index: number within the scan, from 0.
        x, y: upper left corner, um, stage coordinates.
        encoding: ``jpeg``, or ``raw`` for height x width x 3 bytes of RGB.
        data: the bytes.
    """

    index: int
    x: float
    y: float
    encoding: str
    data: bytes

    @property
    def units(self) -> Sequence[int]:
        """What is lost when this is lost: the field's number."""
        return (self.index,)

    @property
    def nbytes(self) -> int:
        """Bytes it holds in a queue."""
        return len(self.data) + 256


@dataclass(frozen=True, eq=False)
class Shot:
    """A field as pixels.

    Attributes:
        index, x, y: as in ``Field``.
        pixels: (H, W, 3) uint8 RGB.
        ground: (3,) uint8 colour of its bare ground.
        tissue: share of it that is not bare ground, 0..1.
    """

    index: int
    x: float
    y: float
    pixels: NDArray[np.uint8]
    ground: NDArray[np.uint8]
    tissue: float

    @property
    def units(self) -> Sequence[int]:
        """What is lost when this is lost: the field's number."""
        return (self.index,)

    @property
    def nbytes(self) -> int:
        """Bytes it holds in a queue."""
        return int(self.pixels.nbytes)


@dataclass(frozen=True)
class Acquisition:
    """What a scan was made of.

    Attributes:
        fields: number of fields that the scan has: its grid's, or as told at the close.
        received: of these, how many came and could be read.
        missing: numbers of those that never came; unreadable: that came and could not be decoded.
        untaken: numbers of a grid's fields that the scanner left out on purpose, by closing early.
        fitted: numbers of the fields that stain and scale were fitted on.
        settled: whether these are the lowest that there were; else the window was full before that was known.
        pairs: neighbouring fields whose offset was measured; refused: over the limit; unclear: not to be measured.
        widest_um: the largest offset that was used.
    """

    fields: int
    received: int
    missing: tuple[int, ...]
    unreadable: tuple[int, ...]
    untaken: tuple[int, ...]
    fitted: tuple[int, ...]
    settled: bool
    pairs: int
    refused: int
    unclear: int
    widest_um: float


@dataclass(frozen=True, slots=True)
class FieldsPassed(Gap):
    """A watermark or the close, in its place among the fields: what has not come of these will not come.

    Attributes:
        through: nothing with this number or a lower one comes any more; -1 says nothing.
        sealed: um, a part of the area in which no further field will lie.
        taken: at the close: fields with this number and higher were never taken.
    """

    through: int = -1
    sealed: Box | None = None
    taken: int | None = None


@dataclass(frozen=True, slots=True)
class TilesPassed(Gap):
    """Tiles that will not come, and what else is certain from here on.

    Attributes:
        sealed: level-0 box in which no further tile will lie.
        acquisition: of the whole scan, at its end.
    """

    sealed: Box | None = None
    acquisition: Acquisition | None = None
