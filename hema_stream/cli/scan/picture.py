"""A picture cut into the fields that a scanner would take of it."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from hema_stream.core.errors import ConfigError

WHITE = np.full(3, 255, np.uint8)


@dataclass(frozen=True)
class Cut:
    """How a picture is cut: sizes and steps in its pixels, ``mpp`` microns a pixel."""

    width: int
    height: int
    columns: int
    rows: int
    step_x: int
    step_y: int
    mpp: float

    @classmethod
    def of(cls, size: tuple[int, int], field: tuple[int, int], overlap: float, mpp: float) -> Cut:
        """Cover a picture of (width, height) with fields that overlap by at least a share of their side."""
        (columns, step_x), (rows, step_y) = (
            _along(size[axis], min(field[axis], size[axis]), overlap) for axis in (0, 1)
        )
        return cls(min(field[0], size[0]), min(field[1], size[1]), columns, rows, step_x, step_y, mpp)

    def __len__(self) -> int:
        """Count the fields."""
        return self.columns * self.rows

    def corner(self, index: int) -> tuple[int, int]:
        """Upper left corner of a field, pixels; rows run from left to right."""
        row, column = divmod(index, self.columns)
        return column * self.step_x, row * self.step_y

    def opening(self, name: str, gridded: bool) -> dict[str, Any]:
        """The declaration of such a scan."""
        body: dict[str, Any] = {"name": name, "width": self.width, "height": self.height, "mpp": self.mpp}
        if gridded:
            steps = {"step_x": self.step_x * self.mpp, "step_y": self.step_y * self.mpp}
            return {**body, "grid": {"columns": self.columns, "rows": self.rows, **steps}}
        return {**body, "area": [0.0, 0.0, *self.extent()]}

    def extent(self) -> tuple[float, float]:
        """Width and height of what is scanned, um."""
        x, y = self.corner(len(self) - 1)
        return (x + self.width) * self.mpp, (y + self.height) * self.mpp


class Picture:
    """An image file, read field by field.

    Args:
        jitter: um, that a field may really lie off the place that is told of it.
        quality: of JPEG; 0 sends raw pixels.
    """

    def __init__(self, path: Path, mpp: float | None, jitter: float, quality: int, seed: int) -> None:
        from hema_stages.readers import open_reader
        from hema_stages.readers.probe import probe
        from hema_stages.source import check_file

        from hema_stream.core.slide import Slide

        check_file(path)
        found = probe(path)
        given = mpp or found.mpp
        if given is None:
            raise ConfigError("the file tells no scale", place=str(path), remedy="tell it with --mpp")
        top = found.levels[0]
        self.size, self.mpp = (top.width, top.height), given
        slide = Slide("scan", path, *self.size, given, None, found.levels, found.reader, orientation=found.orientation)
        self._reader = open_reader(slide, "plain")
        self._jitter, self._quality, self._seed = jitter, quality, seed

    def field(self, cut: Cut, index: int) -> dict[str, Any]:
        """The message of a field."""
        import simplejpeg

        x, y = cut.corner(index)
        dx, dy = self._shift(index)
        box = (x + dx, y + dy, x + dx + cut.width, y + dy + cut.height)
        pixels = np.ascontiguousarray(self._reader.read(box, (cut.width, cut.height), WHITE))
        if self._quality:
            data: bytes = simplejpeg.encode_jpeg(pixels, quality=self._quality, colorsubsampling="444")
        else:
            data = pixels.tobytes()
        return {
            "type": "field",
            "index": index,
            "x": x * cut.mpp,
            "y": y * cut.mpp,
            "encoding": "jpeg" if self._quality else "raw",
            "crc32": zlib.crc32(data),
            "data": data,
        }

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def _shift(self, index: int) -> tuple[int, int]:
        """By how many whole pixels the stage has missed; the same each time that the field is taken."""
        drawn, most = random.Random(f"{self._seed}/{index}"), self._jitter / self.mpp
        return round(drawn.uniform(-most, most)), round(drawn.uniform(-most, most))


def _along(length: int, field: int, overlap: float) -> tuple[int, int]:
    """Number of fields along an axis, and the step from one to the next."""
    most = max(int(field * (1 - overlap)), 1)
    count = 1 + max(ceil((length - field) / most), 0)
    return (count, (length - field) // (count - 1)) if count > 1 else (1, field)
