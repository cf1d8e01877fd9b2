"""Orientation: pictures that are stored turned or mirrored, and say so (Exif 2.32 and TIFF 6.0, tag 274)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.slide import UPRIGHT

if TYPE_CHECKING:
    from hema_stages.readers.reader import LevelSource

TAG = 0x0112
MIRRORED_X, MIRRORED_Y = (2, 3, 6, 7), (3, 4, 7, 8)
"""Orientations in which what is seen runs against what is stored, along the axis as seen."""


def orientation(value: object) -> int:
    """What a tag's value means, 1..8; what is none of these is upright."""
    return value if isinstance(value, int) and 1 <= value <= 8 else UPRIGHT


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height as seen, of those stored."""
    return size[::-1] if orientation >= 5 else size


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn (H, W, 3) pixels upright, 1 being upright."""
    if orientation == UPRIGHT:
        return pixels
    flipped = pixels[:, ::-1] if orientation in (2, 4, 5, 7) else pixels
    quarters = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}[orientation]
    return np.ascontiguousarray(np.rot90(flipped, quarters))


class Turned:
    """Levels that are read as they are stored and given upright.

    Args:
        source: the levels; orientation: 2..8.
        sizes: (width, height) of each level as seen.
    """

    def __init__(self, source: LevelSource, orientation: int, sizes: list[tuple[int, int]]) -> None:
        self._source, self._orientation, self._sizes = source, orientation, sizes

    def region(self, level: int, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """Read the stored region that this one shows, and turn it."""
        width, height = self._sizes[level]
        if self._orientation in MIRRORED_X:
            x0, x1 = width - x1, width - x0
        if self._orientation in MIRRORED_Y:
            y0, y1 = height - y1, height - y0
        stored = (y0, x0, y1, x1) if self._orientation >= 5 else (x0, y0, x1, y1)
        return turned(self._source.region(level, *stored), self._orientation)

    def close(self) -> None:
        """Free files and caches."""
        self._source.close()
