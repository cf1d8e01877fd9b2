"""Tiles: overlapping squares at the canonical scale whose cores partition the slide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.slide import Scale

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class TileSpec:
    """Where a tile lies.

    Attributes:
        index: number in the plan, row by row.
        box: (x0, y0, x1, y1) canonical pixels; always a full tile, it may reach past the slide's border.
        core: the part that it owns, canonical pixels.
        inner: (left, top, right, bottom): whether that edge lies inside the slide (cells there may be cut).
        seen: the part of the box that there are pixels of, where it is a field smaller than a tile; None for all of it.
    """

    index: int
    box: Box
    core: Box
    inner: tuple[bool, bool, bool, bool]
    seen: Box | None = None

    @property
    def view(self) -> Box:
        """What can be seen on it, canonical pixels; its edges may cut cells."""
        return self.seen or self.box

    @property
    def units(self) -> Sequence[int]:
        """What is lost when this is lost."""
        return (self.index,)

    @property
    def nbytes(self) -> int:
        """Bytes it holds in a queue."""
        return 256


@dataclass(frozen=True)
class TilePlan:
    """A regular grid of overlapping tiles over a slide.

    Attributes:
        width, height: the slide in level-0 pixels.
        scale: maps canonical to level-0 pixels.
        side: tile side in canonical pixels.
        overlap: pixels that neighbouring tiles share.
    """

    width: int
    height: int
    scale: Scale
    side: int = 1024
    overlap: int = 160

    @property
    def complete(self) -> bool:
        """Whether no tile will be added; a grid is whole from the start."""
        return True

    @cached_property
    def columns(self) -> int:
        """Tiles a row."""
        return self._count(self.canonical_width)

    @cached_property
    def rows(self) -> int:
        """Rows of tiles."""
        return self._count(self.canonical_height)

    @property
    def canonical_width(self) -> float:
        """Slide width in canonical pixels."""
        return self.width / self.scale.canonical

    @property
    def canonical_height(self) -> float:
        """Slide height in canonical pixels."""
        return self.height / self.scale.canonical

    def __len__(self) -> int:
        """Count the tiles."""
        return self.rows * self.columns

    def __iter__(self) -> Iterator[TileSpec]:
        """Walk the tiles row by row."""
        return (self.spec(i) for i in range(len(self)))

    def spec(self, index: int) -> TileSpec:
        """Describe tile ``index``."""
        row, column = divmod(index, self.columns)
        step, half = self.side - self.overlap, self.overlap / 2
        x, y = column * step, row * step
        left, top, right, bottom = column > 0, row > 0, column < self.columns - 1, row < self.rows - 1
        core = (
            x + half if left else 0.0,
            y + half if top else 0.0,
            x + self.side - half if right else max(self.canonical_width, x + half),
            y + self.side - half if bottom else max(self.canonical_height, y + half),
        )
        return TileSpec(index, (x, y, x + self.side, y + self.side), core, (left, top, right, bottom))

    def box(self, tile: int) -> Box:
        """Level-0 box of a tile, clipped to the slide."""
        factor = self.scale.canonical
        x0, y0, x1, y1 = (v * factor for v in self.spec(tile).box)
        return (x0, y0, min(x1, float(self.width)), min(y1, float(self.height)))

    def tiles_overlapping(self, box: Box) -> list[int]:
        """Tiles whose box meets a level-0 box with positive area or touches it."""
        factor, step = self.scale.canonical, self.side - self.overlap
        x0, y0, x1, y1 = (v / factor for v in box)
        columns = range(max(ceil((x0 - self.side) / step), 0), min(int(x1 // step), self.columns - 1) + 1)
        rows = range(max(ceil((y0 - self.side) / step), 0), min(int(y1 // step), self.rows - 1) + 1)
        return [row * self.columns + column for row in rows for column in columns]

    def _count(self, length: float) -> int:
        return 1 + max(ceil((length - self.side) / (self.side - self.overlap)), 0)


@dataclass(frozen=True)
class Tile:
    """A decoded tile.

    Attributes:
        spec: where it lies.
        pixels: (side, side, 3) uint8 RGB at the canonical scale; outside the slide the frozen background colour.
        fine: (h, w, 3) uint8 RGB, the same place at the crops' scale in the slide's own colours; outside the slide the
            background colour.
        fine_scale: fine pixels a canonical pixel.
        focus: variance of the Laplacian over the tile's tissue, canonical scale.
        offsets: by other tile, level-0 pixels (dx, dy) that this tile's cells are shifted where the two are compared.
    """

    spec: TileSpec
    pixels: NDArray[np.uint8]
    fine: NDArray[np.uint8]
    fine_scale: float
    focus: float = 0.0
    offsets: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def units(self) -> Sequence[int]:
        """What is lost when this is lost."""
        return (self.spec.index,)

    @property
    def nbytes(self) -> int:
        """Bytes it holds in a queue."""
        return int(self.pixels.nbytes + (0 if self.fine is self.pixels else self.fine.nbytes))

    def with_pixels(self, pixels: NDArray[np.uint8]) -> Tile:
        """Return the same tile with other colours at the canonical scale; the fine pixels keep theirs."""
        return replace(self, pixels=pixels)
