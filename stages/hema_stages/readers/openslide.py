"""Whatever OpenSlide reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.errors import InputCode, InputError


class OpenSlideLevels:
    """Levels of a slide in a scanner's own format; transparent pixels (never scanned) are white.

    Raises:
        InputError: OpenSlide cannot open the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._slide: Any = self._open()

    def region(self, level: int, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """Read a region of one level, (y1 - y0, x1 - x0, 3) uint8 RGB; InputError where the file is damaged."""
        from openslide import OpenSlideError

        downsample = self._slide.level_downsamples[level]
        corner = (round(x0 * downsample), round(y0 * downsample))
        try:
            rgba = np.asarray(self._slide.read_region(corner, level, (x1 - x0, y1 - y0)), np.uint8)
        except OpenSlideError as error:
            self._slide.close()
            self._slide = self._open()  # a handle that failed once fails for every later read
            raise _unreadable(f"cannot be read at {corner}: {error}", self._path) from error
        return np.where(rgba[..., 3:] == 0, np.uint8(255), rgba[..., :3])

    def close(self) -> None:
        """Close the slide."""
        self._slide.close()

    def _open(self) -> Any:
        import openslide

        try:
            return openslide.OpenSlide(self._path)
        except (openslide.OpenSlideError, OSError) as error:
            raise _unreadable(f"cannot be opened: {error}", self._path) from error


def _unreadable(what: str, path: Path) -> InputError:
    return InputError(
        what, place=str(path), remedy="the file is damaged; scan or export it again", code=InputCode.UNREADABLE
    )
