"""Validate: what is wrong with an input is said at once, before anything is spent on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from hema_stages.readers.probe import Probe, probe
from hema_stream.core.errors import InputCode, InputError
from hema_stream.core.slide import InputImage, ScaleSource, Slide
from hema_stream.flow import Caps, Policy, Transform, process, prop


class Validate(Transform[InputImage, Slide]):
    """Open an input in a worker process that a hostile file may crash, and refuse what cannot be analysed.

    Refusals carry an ``InputCode``; sizes are checked as declared, before pixels are decoded.
    """

    accepts = Caps("image/input")
    produces = Caps("image/slide")
    runs_on = process(workers=1)
    on_error = Policy.FAIL_SLIDE
    deadline = 60.0

    min_side: int = prop(64, doc="smaller pictures are refused", unit="px", ge=1)
    small_side: int = prop(1000, doc="smaller pictures get a warning", unit="px", ge=1)
    max_pixels: int = prop(200_000_000, doc="declared pixels of a plain image", unit="px", ge=1)
    max_bytes: int = prop(512 << 20, doc="decoded bytes of a plain image", unit="bytes", ge=1)
    max_tile_pixels: int = prop(64_000_000, doc="declared pixels of a slide's tile", unit="px", ge=1)
    blank_deviation: float = prop(2.0, doc="grey deviation under which a picture is blank", ge=0.0)

    def process(self, item: InputImage, state: Any, pad: str = "sink") -> Slide:
        """Turn an input into a slide, or raise InputError."""
        check_path(item.path)
        found = probe(item.path)
        self._check_size(found, item.path)
        check_levels(found, item.path)
        self._check_pixels(found, item.path)
        top = found.levels[0]
        mpp = item.mpp or found.mpp
        source = ScaleSource.GIVEN if item.mpp else ScaleSource.METADATA if found.mpp else None
        return Slide(
            id=item.id,
            path=item.path,
            width=top.width,
            height=top.height,
            mpp=mpp,
            scale_source=source,
            levels=found.levels,
            reader=found.reader,
            warnings=self._warnings(found, mpp),
        )

    def _check_size(self, found: Probe, path: Path) -> None:
        top = found.levels[0]
        if min(top.width, top.height) < self.min_side:
            raise InputError(
                f"{top.width} x {top.height} px is too small",
                place=str(path),
                remedy=f"at least {self.min_side} px a side are needed",
                code=InputCode.TOO_SMALL,
            )
        pixels = top.width * top.height
        if found.reader == "plain" and (pixels > self.max_pixels or 3 * pixels > self.max_bytes):
            raise InputError(
                f"declares {top.width} x {top.height} px, more than {self.max_pixels // 10**6} MPix",
                place=str(path),
                remedy="store large pictures as tiled pyramidal TIFF, or raise validate.max_pixels",
                code=InputCode.BOMB,
            )
        if found.tile[0] * found.tile[1] > self.max_tile_pixels and found.reader != "plain":
            raise InputError(
                f"has tiles of {found.tile[0]} x {found.tile[1]} px",
                place=str(path),
                remedy="store it with smaller tiles, or raise validate.max_tile_pixels",
                code=InputCode.BOMB,
            )

    def _check_pixels(self, found: Probe, path: Path) -> None:
        """Decode a plain picture whole, and a low-resolution view of a slide: cut files and blank ones show here."""
        import cv2

        from hema_stages.readers import open_reader

        reader = open_reader(Slide("", path, *_size(found), None, None, found.levels, found.reader), "plain")
        try:
            width, height = _size(found)
            shrink = max(width, height) / 1024
            view = (max(round(width / shrink), 1), max(round(height / shrink), 1)) if shrink > 1 else (width, height)
            grey = cv2.cvtColor(reader.read((0, 0, width, height), view, np.zeros(3, np.uint8)), cv2.COLOR_RGB2GRAY)
        finally:
            reader.close()
        if float(grey.std()) < self.blank_deviation:
            raise InputError("is blank", place=str(path), remedy="scan a place with cells", code=InputCode.BLANK)

    def _warnings(self, found: Probe, mpp: float | None) -> tuple[str, ...]:
        top = found.levels[0]
        said = {
            InputCode.SMALL: min(top.width, top.height) < self.small_side,
            InputCode.NO_SCALE: mpp is None,
            InputCode.ALPHA_DROPPED: found.alpha,
        }
        return tuple(code.value for code, holds in said.items() if holds)


def _size(found: Probe) -> tuple[int, int]:
    return found.levels[0].width, found.levels[0].height


def check_path(path: Path) -> None:
    """Raise InputError where a file is missing, a folder, or not readable by this user."""
    if not path.exists():
        raise InputError("no such file", place=str(path), remedy="check the path", code=InputCode.NOT_FOUND)
    if not os.access(path, os.R_OK):
        raise InputError("no permission to read", place=str(path), remedy="chmod +r", code=InputCode.NO_PERMISSION)
    if not path.is_file():
        raise InputError("not a file", place=str(path), remedy="name a file", code=InputCode.UNSUPPORTED_FORMAT)


def check_levels(found: Probe, path: Path) -> None:
    """Raise InputError where a pyramid's levels do not get smaller or do not have the picture's shape."""
    top = found.levels[0]
    for before, level in zip(found.levels, found.levels[1:], strict=False):
        across, down = top.width / max(level.width, 1), top.height / max(level.height, 1)
        if level.width >= before.width or abs(across - down) > 0.05 * max(across, down) + 1:
            raise InputError(
                f"level of {level.width} x {level.height} px does not belong to {top.width} x {top.height} px",
                place=str(path),
                remedy="export the pyramid again",
                code=InputCode.BAD_LEVELS,
            )
