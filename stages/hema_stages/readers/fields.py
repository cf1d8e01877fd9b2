"""A scan's fields read as one picture, also while they come: each where it nominally lies, later numbers on top."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from hema_stream.core.errors import InputCode, InputError
from hema_stream.core.scan_folder import DECLARATION, KeptField, kept_fields, read_json
from hema_stream.core.slide import Slide

GROUND = 255
CACHE_BYTES = 64 << 20

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Placed:
    field: KeptField
    x: float
    y: float


class FieldMosaic:
    """Whole pixels of a scan. JPEG is decoded at half, quarter or eighth size for the coarser levels (libjpeg's DCT).

    A field that cannot be read is left blank, as one that never came is.

    Args:
        slide: its path is the scan's folder; its scale places the fields.
    """

    def __init__(self, slide: Slide) -> None:
        declared = read_json(slide.path, DECLARATION)
        if declared is None or slide.mpp is None:
            raise InputError("holds no scan", place=str(slide.path), remedy="scan again", code=InputCode.UNREADABLE)
        self._slide, self._mpp = slide, slide.mpp
        self._corner: list[float] = declared["corner"]
        self._size = (int(declared["width"]), int(declared["height"]))
        self._seen = -1
        self._placed: list[_Placed] = []
        self._cache: LRUCache[tuple[Path, int], Pixels] = LRUCache(CACHE_BYTES, getsizeof=lambda p: p.nbytes)

    def region(self, level: int, x0: int, y0: int, x1: int, y1: int) -> Pixels:
        """(y1 - y0, x1 - x0, 3) uint8 RGB of a level."""
        shrink = round(self._slide.levels[level].downsample)
        out = np.full((y1 - y0, x1 - x0, 3), GROUND, np.uint8)
        for placed in self._fields():
            left, top = round(placed.x / shrink) - x0, round(placed.y / shrink) - y0
            width, height = -(-self._size[0] // shrink), -(-self._size[1] // shrink)
            if left < out.shape[1] and top < out.shape[0] and left + width > 0 and top + height > 0:
                _lay(out, self._pixels(placed.field, shrink), left, top)
        return out

    def close(self) -> None:
        """Free the cache."""
        self._cache.clear()

    def _fields(self) -> list[_Placed]:
        """The fields that have come by now."""
        changed = self._slide.path.stat().st_mtime_ns
        if changed != self._seen:
            x, y = self._corner
            self._placed = [
                _Placed(field, (field.x - x) / self._mpp, (field.y - y) / self._mpp)
                for field in kept_fields(self._slide.path)
            ]
            self._seen = changed
        return self._placed

    def _pixels(self, field: KeptField, shrink: int) -> Pixels:
        key = (field.path, shrink)
        pixels = self._cache.get(key)
        if pixels is None:
            pixels = self._decoded(field, shrink)
            if pixels.nbytes <= CACHE_BYTES:
                self._cache[key] = pixels
        return pixels

    def _decoded(self, field: KeptField, shrink: int) -> Pixels:
        import simplejpeg

        width, height = self._size
        data = field.path.read_bytes()
        if field.encoding == "raw":
            whole = np.frombuffer(data, np.uint8)
            fits = len(whole) == width * height * 3
            return whole.reshape(height, width, 3)[::shrink, ::shrink] if fits else np.zeros((0, 0, 3), np.uint8)
        try:
            declared = simplejpeg.decode_jpeg_header(data)[:2]
            if declared != (height, width):
                return np.zeros((0, 0, 3), np.uint8)
            least = {"min_height": -(-height // shrink), "min_width": -(-width // shrink)}
            return np.asarray(simplejpeg.decode_jpeg(data, colorspace="RGB", **least), np.uint8)
        except ValueError:
            return np.zeros((0, 0, 3), np.uint8)


def _lay(out: Pixels, pixels: Pixels, left: int, top: int) -> None:
    """Copy a picture into another where they meet."""
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + pixels.shape[1], out.shape[1]), min(top + pixels.shape[0], out.shape[0])
    if x1 > x0 and y1 > y0:
        out[y0:y1, x0:x1] = pixels[y0 - top : y1 - top, x0 - left : x1 - left]
