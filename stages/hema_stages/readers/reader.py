"""The one call that every reader answers: a box at a size."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.slide import Level, Slide
from hema_stream.core.tile import Box


class LevelSource(Protocol):
    """Whole pixels of one level."""

    def region(self, level: int, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """Return (y1 - y0, x1 - x0, 3) uint8 RGB; the region lies within the level."""
        ...

    def close(self) -> None:
        """Free files and caches."""
        ...


class Reader:
    """Reads any box of a slide, resampled.

    Args:
        slide: what was validated.
        source: gives whole pixels of a level.
    """

    def __init__(self, slide: Slide, source: LevelSource) -> None:
        self.slide = slide
        self._source = source

    def read(self, box: Box, size: tuple[int, int], background: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Read a level-0 box (x0, y0, x1, y1) as (height, width, 3) uint8 RGB.

        The coarsest level that is still as fine as asked for is read; shrinking averages areas, enlarging is bilinear.
        What lies outside the slide has the background's colour (3,).
        """
        import cv2

        width, height = size
        number, level = self._choose((box[2] - box[0]) / width)
        x0, y0, x1, y1 = (round(v / level.downsample) for v in box)
        x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
        inside = (max(x0, 0), max(y0, 0), min(x1, level.width), min(y1, level.height))
        if inside[2] <= inside[0] or inside[3] <= inside[1]:
            return np.broadcast_to(background, (height, width, 3)).copy()
        pixels = self._source.region(number, *inside)
        if inside != (x0, y0, x1, y1):
            whole = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
            whole[:] = background
            whole[inside[1] - y0 : inside[3] - y0, inside[0] - x0 : inside[2] - x0] = pixels
            pixels = whole
        if pixels.shape[:2] == (height, width):
            return np.ascontiguousarray(pixels)
        shrinks = pixels.shape[0] >= height and pixels.shape[1] >= width
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))

    def close(self) -> None:
        """Free files and caches."""
        self._source.close()

    def _choose(self, factor: float) -> tuple[int, Level]:
        """Pick the coarsest level whose pixels are at least as fine as ``factor`` level-0 pixels."""
        fine = [(n, level) for n, level in enumerate(self.slide.levels) if level.downsample <= factor * 1.001]
        return fine[-1] if fine else (0, self.slide.levels[0])


def open_reader(slide: Slide, engine: str = "auto") -> Reader:
    """Open a validated slide.

    Args:
        engine: ``plain`` decodes with simplejpeg and tifffile, ``dali`` decodes JPEG with DALI, ``auto`` takes DALI
            where it is installed. Pixels agree within two grey levels.

    Raises:
        InputError: the file cannot be read any more.
    """
    if slide.reader == "plain":
        from hema_stages.readers.plain import PlainImage

        return Reader(slide, PlainImage(slide.path, engine))
    if slide.reader == "tiled":
        from hema_stages.readers.tiled import TiledTiff

        return Reader(slide, TiledTiff(slide.path, engine))
    from hema_stages.readers.openslide import OpenSlideLevels

    return Reader(slide, OpenSlideLevels(slide.path))
