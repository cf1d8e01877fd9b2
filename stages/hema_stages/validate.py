"""Validate: what is wrong with an input is said at once, before anything is spent on it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stages.calibration.surround import surround
from hema_stages.readers import Reader, open_reader
from hema_stages.readers.memory import bound_address_space
from hema_stages.readers.probe import Probe, probe
from hema_stages.source import check_file
from hema_stream.core.errors import InputCode, InputError
from hema_stream.core.slide import InputImage, ScaleSource, Slide
from hema_stream.core.units import LEAST_MPP, MOST_MPP, believable_mpp
from hema_stream.flow import Caps, Policy, Transform, process, prop

VIEW = 1024
PLACES, PLACE = 6, 256
OVERVIEW_PIXELS = 64_000_000
WHITE = np.full(3, 255, np.uint8)


class Validate(Transform[InputImage, Slide]):
    """Open an input in a worker process that a hostile file may crash, and refuse what cannot be analysed.

    Refusals carry an ``InputCode``; sizes are checked as declared, before pixels are decoded. A plain picture is then
    decoded whole, a slide only as an overview: a damaged tile of it is a gap later.
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
    blank_contrast: float = prop(8.0, doc="what differs less from the ground is no cell", unit="levels", ge=0.0)
    blank_share: float = prop(1e-4, doc="share of differing pixels up to which a picture is blank", ge=0.0, le=1.0)
    address_space: int = prop(4 << 30, doc="what the worker may map beyond its libraries; 0: any", unit="bytes", ge=0)

    def start(self) -> None:
        """Load the decoders, keep them to one thread, and bound the worker's memory."""
        import cv2
        import imagecodecs  # noqa: F401  its libraries must not count
        import openslide  # noqa: F401
        import simplejpeg  # noqa: F401
        import tifffile  # noqa: F401

        cv2.setNumThreads(1)
        bound_address_space(self.address_space)

    def process(self, item: InputImage, state: Any, pad: str = "sink") -> Slide:
        """Turn an input into a slide, or raise InputError."""
        check_file(item.path)
        check_scale(item)
        found = probe(item.path, item.parts)
        self._check_size(found, item.path)
        check_levels(found, item.path)
        top = found.levels[0]
        mpp = item.mpp or found.mpp
        slide = Slide(
            id=item.id,
            path=item.path,
            width=top.width,
            height=top.height,
            mpp=mpp,
            scale_source=ScaleSource.GIVEN if item.mpp else ScaleSource.METADATA if found.mpp else None,
            levels=found.levels,
            reader=found.reader,
            warnings=self._warnings(found, mpp),
            parts=item.parts,
            orientation=found.orientation,
        )
        self._check_pixels(slide)
        return slide

    def _check_size(self, found: Probe, path: Path) -> None:
        top, place = found.levels[0], str(path)
        size, tile = f"{top.width} x {top.height} px", found.tile[0] * found.tile[1]
        whole = max(top.width * top.height, tile)  # pieces may be declared larger than the picture
        if found.reader == "plain" and whole > min(self.max_pixels, self.max_bytes // 3):
            limit = f"{self.max_pixels / 1e6:.0f} MPix or {self.max_bytes / (1 << 20):.0f} MiB"
            remedy = "store large pictures as tiled pyramidal TIFF, or raise validate.max_pixels and max_bytes"
            raise InputError(f"declares {size}, more than {limit}", place=place, remedy=remedy, code=InputCode.BOMB)
        if found.reader != "plain" and tile > self.max_tile_pixels:
            what = f"has tiles of {found.tile[0]} x {found.tile[1]} px"
            remedy = "store it with smaller tiles, or raise validate.max_tile_pixels"
            raise InputError(what, place=place, remedy=remedy, code=InputCode.BOMB)
        if min(top.width, top.height) < self.min_side:
            remedy = f"at least {self.min_side} px a side are needed"
            raise InputError(f"{size} is too small", place=place, remedy=remedy, code=InputCode.TOO_SMALL)

    def _check_pixels(self, slide: Slide) -> None:
        """Look at the picture: cut files and blank ones show here."""
        reader = open_reader(slide, "plain")
        try:
            view = overview(slide, reader)
        finally:
            reader.close()
        if self._is_blank(view):
            remedy = "scan a place with cells"
            raise InputError("is blank", place=str(slide.path), remedy=remedy, code=InputCode.BLANK)

    def _is_blank(self, view: NDArray[np.uint8]) -> bool:
        """Whether next to nothing stands out from the ground, (H, W, 3) uint8, noise and a black surround aside."""
        import cv2

        within = ~surround(view)
        if not within.any():
            return True
        smooth = cv2.blur(view, (5, 5)).astype(np.float32)[within]
        ground = np.median(smooth, axis=0)
        differs = np.abs(smooth - ground).max(axis=1) > self.blank_contrast
        return float(differs.mean()) <= self.blank_share

    def _warnings(self, found: Probe, mpp: float | None) -> tuple[str, ...]:
        top = found.levels[0]
        said = {
            InputCode.SMALL: min(top.width, top.height) < self.small_side,
            InputCode.NO_SCALE: mpp is None,
            InputCode.ALPHA_DROPPED: found.alpha,
        }
        return tuple(code.value for code, holds in said.items() if holds)


def check_scale(item: InputImage) -> None:
    """Raise InputError where the scale that a caller told cannot be one."""
    if item.mpp is not None and not believable_mpp(item.mpp):
        raise InputError(
            f"{item.mpp:g} um a pixel can be no microscope's",
            place=str(item.path),
            remedy=f"tell microns a pixel from {LEAST_MPP:g} to {MOST_MPP:g}, not a magnification or nanometres",
            code=InputCode.BAD_SCALE,
        )


def overview(slide: Slide, reader: Reader) -> NDArray[np.uint8]:
    """View a slide at 1024 px a side at most, (H, W, 3) uint8 RGB.

    One without coarse levels is too large to be read whole only for this; 36 places side by side stand for it.
    """
    width, height = slide.width, slide.height
    shrink = max(max(width, height) / VIEW, 1.0)
    level = max((level for level in slide.levels if level.downsample <= shrink * 1.001), key=lambda x: x.downsample)
    if slide.reader == "plain" or level.width * level.height <= OVERVIEW_PIXELS:
        size = (max(round(width / shrink), 1), max(round(height / shrink), 1))
        return reader.read((0, 0, width, height), size, WHITE)
    xs, ys = ([int((extent - PLACE) * (i + 0.5) / PLACES) for i in range(PLACES)] for extent in (width, height))
    return np.vstack([np.hstack([_place(reader, x, y) for x in xs]) for y in ys])


def _place(reader: Reader, x: int, y: int) -> NDArray[np.uint8]:
    return reader.read((x, y, x + PLACE, y + PLACE), (PLACE, PLACE), WHITE)


def check_levels(found: Probe, path: Path) -> None:
    """Raise InputError where a pyramid's levels do not get smaller or do not have the picture's shape.

    A level may be off by the rounding of its sides to whole pixels.
    """
    top = found.levels[0]
    for before, level in pairwise(found.levels):
        expected = level.width * top.height / top.width
        off = abs(level.height - expected)
        if level.width >= before.width or off > 1.5 * (1 + top.height / top.width):
            raise InputError(
                f"level of {level.width} x {level.height} px does not belong to {top.width} x {top.height} px",
                place=str(path),
                remedy="export the pyramid again",
                code=InputCode.BAD_LEVELS,
            )
