"""Whatever OpenSlide reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.errors import InputCode, InputError


class OpenSlideLevels:
    """Levels of a slide in a scanner's own format; transparent pixels (never scanned) are white."""

    def __init__(self, path: Path) -> None:
        import openslide

        self._path = path
        self._slide = openslide.OpenSlide(path)

    def region(self, level: int, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """Read a region of one level."""
        from openslide import OpenSlideError

        downsample = self._slide.level_downsamples[level]
        corner = (round(x0 * downsample), round(y0 * downsample))
        try:
            picture = self._slide.read_region(corner, level, (x1 - x0, y1 - y0))
        except OpenSlideError as error:
            raise InputError(
                f"cannot be read at {corner}: {error}",
                place=str(self._path),
                remedy="the file is damaged there; scan or export it again",
                code=InputCode.UNREADABLE,
            ) from error
        rgba = np.asarray(picture, np.uint8)
        return np.where(rgba[..., 3:] == 0, np.uint8(255), rgba[..., :3])

    def close(self) -> None:
        """Close the slide."""
        self._slide.close()
