"""The one call that every reader answers: a box at a size."""

from __future__ import annotations

from math import ceil, floor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hema_stages.readers.jpeg import JpegDecoder, jpeg_decoder
from hema_stages.readers.turned import Turned
from hema_stream.core.slide import UPRIGHT, Level, Slide
from hema_stream.core.tile import Box

MOST_PIXELS = 32_000_000
"""Pixels of a level that are held at once; a view of a larger region is put together from parts."""

Pixels = NDArray[np.uint8]


class LevelSource(Protocol):
    """Whole pixels of one level."""

    def region(self, level: int, x0: int, y0: int, x1: int, y1: int) -> Pixels:
        """Return (y1 - y0, x1 - x0, 3) uint8 RGB, perhaps a view; the region lies within the level."""
        ...

    def close(self) -> None:
        """Free files and caches."""
        ...


class Reader:
    """Reads any box of a slide, resampled; for one thread at a time.

    Args:
        slide: what was validated.
        source: gives whole pixels of a level.
    """

    def __init__(self, slide: Slide, source: LevelSource) -> None:
        self.slide = slide
        self._source = source

    def read(self, box: Box, size: tuple[int, int], background: Pixels) -> Pixels:
        """Read a level-0 box (x0, y0, x1, y1) as (height, width, 3) uint8 RGB; ``size`` is (width, height).

        The coarsest level that is still as fine as asked for is read. Shrinking averages areas, with the box rounded to
        that level's pixels; enlarging is bilinear at the exact place; a box of ``size`` pixels but for a fraction is
        copied. What lies outside the slide has the background's colour (3,).

        Raises:
            InputError: the file is damaged there.
        """
        width, height = size
        number, level = self._choose(min((box[2] - box[0]) / width, (box[3] - box[1]) / height))
        x0, y0, x1, y1 = (v / level.downsample for v in box)
        across, down = x1 - x0, y1 - y0
        if abs(across - width) < 1 and abs(down - height) < 1:
            left, top = round(x0), round(y0)
            return self._padded(number, level, (left, top, left + width, top + height), background)
        if across < width or down < height:
            return self._enlarged(number, level, (x0, y0, x1, y1), size, background)
        if across * down > MOST_PIXELS and max(size) > 1:
            return self._in_parts(box, size, background)
        left, top = round(x0), round(y0)
        whole = (left, top, max(round(x1), left + width), max(round(y1), top + height))
        return _shrunk(self._padded(number, level, whole, background), size)

    def close(self) -> None:
        """Free files and caches."""
        self._source.close()

    def _choose(self, factor: float) -> tuple[int, Level]:
        """Pick the coarsest level whose pixels are at least as fine as ``factor`` level-0 pixels."""
        fine = [(n, level) for n, level in enumerate(self.slide.levels) if level.downsample <= factor * 1.001]
        return max(fine, key=lambda entry: entry[1].downsample) if fine else (0, self.slide.levels[0])

    def _padded(self, number: int, level: Level, box: tuple[int, int, int, int], background: Pixels) -> Pixels:
        """Copy whole pixels of a level, with the background around it."""
        x0, y0, x1, y1 = box
        inside = (max(x0, 0), max(y0, 0), min(x1, level.width), min(y1, level.height))
        empty = inside[2] <= inside[0] or inside[3] <= inside[1]
        if inside == box:
            pixels = self._source.region(number, *inside)
            return pixels if pixels.flags.owndata else pixels.copy()
        out = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
        out[:] = background
        if not empty:
            pixels = self._source.region(number, *inside)
            out[inside[1] - y0 : inside[3] - y0, inside[0] - x0 : inside[2] - x0] = pixels
        return out

    def _enlarged(self, number: int, level: Level, box: Box, size: tuple[int, int], background: Pixels) -> Pixels:
        """Interpolate a box given in the level's pixels, pixel centres at halves; a pixel of margin feeds the edges."""
        import cv2

        whole = (floor(box[0]) - 1, floor(box[1]) - 1, ceil(box[2]) + 1, ceil(box[3]) + 1)
        pixels = self._padded(number, level, whole, background)
        step_x, step_y = (box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]
        place = np.array(
            [
                [step_x, 0, box[0] - whole[0] + step_x / 2 - 0.5],
                [0, step_y, box[1] - whole[1] + step_y / 2 - 0.5],
            ]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(pixels, place, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)

    def _in_parts(self, box: Box, size: tuple[int, int], background: Pixels) -> Pixels:
        """Halve along the longer side, so that a slide without a pyramid is viewed in bounded memory."""
        x0, y0, x1, y1 = box
        width, height = size
        if height >= width:
            first = height // 2
            middle = y0 + (y1 - y0) * first / height
            upper = self.read((x0, y0, x1, middle), (width, first), background)
            return np.concatenate((upper, self.read((x0, middle, x1, y1), (width, height - first), background)))
        first = width // 2
        middle = x0 + (x1 - x0) * first / width
        left = self.read((x0, y0, middle, y1), (first, height), background)
        return np.concatenate((left, self.read((middle, y0, x1, y1), (width - first, height), background)), axis=1)


def _shrunk(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    import cv2

    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def open_reader(slide: Slide, engine: str | JpegDecoder = "auto") -> Reader:
    """Open a validated slide.

    Args:
        slide: says which reader it needs.
        engine: ``plain`` decodes with simplejpeg and tifffile, ``dali`` decodes JPEG with DALI, ``auto`` takes DALI
            where it is installed; or a decoder that several slides share. Pixels agree within two grey levels.

    Raises:
        InputError: the file cannot be read any more.
        ConfigError: DALI is asked for and not installed.
    """
    decoder = jpeg_decoder(engine) if isinstance(engine, str) else engine
    if slide.reader == "plain":
        from hema_stages.readers.plain import PlainImage

        return Reader(slide, PlainImage(slide.path, decoder))
    if slide.reader == "tiled":
        from hema_stages.readers.tiled import TiledTiff

        tiles: LevelSource = TiledTiff(slide.path, decoder)
        if slide.orientation != UPRIGHT:
            tiles = Turned(tiles, slide.orientation, [(level.width, level.height) for level in slide.levels])
        return Reader(slide, tiles)
    if slide.reader == "fields":
        from hema_stages.readers.fields import FieldMosaic

        return Reader(slide, FieldMosaic(slide))
    from hema_stages.readers.openslide import OpenSlideLevels

    return Reader(slide, OpenSlideLevels(slide.path, slide.parts))
