"""Whatever OpenSlide reads, and nothing that a file only names."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stages.readers.alpha import without_alpha
from hema_stages.readers.sets import OutsideError, named_parts
from hema_stages.readers.tiff_pages import is_tiff
from hema_stream.core.errors import InputCode, InputError

ALONE = frozenset({"aperio", "generic-tiff", "leica", "philips", "sakura", "trestle", "ventana", "zeiss"})
"""Formats of one file."""
NAMING = frozenset({"mirax"})
"""Formats in which one file names others."""
EITHER = "hamamatsu"
"""One file where it is TIFF (NDPI), else a text that names others (VMS, VMU)."""
BESIDE = "hema-series-"
SERIES = "dicom"
"""A format whose files lie side by side and know each other by their series."""


def vendor_of(path: Path) -> str | None:
    """Name the scanner format that OpenSlide sees in a file; None where it sees none."""
    import openslide

    found: str | None = openslide.OpenSlide.detect_format(path)
    return found


def open_slide(path: Path, parts: Sequence[Path] = ()) -> OpenedSlide:
    """Open a slide of one file, or one whose other files were submitted with it.

    Args:
        path: the file; parts: the others, in the same folder or in one below it.

    Raises:
        InputError: unsupported_format; several_files, where it names others than ``parts``; or unreadable.
    """
    vendor = vendor_of(path)
    if vendor == SERIES:
        return _open_beside(path, parts)
    if vendor in NAMING or (vendor == EITHER and not is_tiff(path)):
        _check_named(path, parts)
    elif vendor not in ALONE and vendor != EITHER:
        raise InputError(
            "is of a format that is not read",
            place=str(path),
            remedy="export it as 8-bit RGB PNG, JPEG or TIFF",
            code=InputCode.UNSUPPORTED_FORMAT,
        )
    return OpenedSlide(path, path)


def _check_named(path: Path, parts: Sequence[Path]) -> None:
    remedy = "submit the folder that holds the slide with all of its files"
    try:
        named = named_parts(path)
    except OutsideError as error:
        what = "names files outside its folder"
        raise InputError(what, place=str(path), remedy=remedy, code=InputCode.SEVERAL_FILES) from error
    except OSError as error:
        raise _unreadable("cannot be opened", path) from error
    if not parts or not {part.resolve() for part in named} <= {part.resolve() for part in parts}:
        what = "is one of several files that make up a slide"
        raise InputError(what, place=str(path), remedy=remedy, code=InputCode.SEVERAL_FILES)


def _open_beside(path: Path, parts: Sequence[Path]) -> OpenedSlide:
    """Open files of a series where they lie by themselves: OpenSlide looks at all that lie beside the first."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{BESIDE}{os.getpid()}-"))
    try:
        links = [folder / f"{number:06d}.dcm" for number in range(1 + len(parts))]
        for link, file in zip(links, (path, *parts), strict=True):
            link.symlink_to(file.resolve())
        return OpenedSlide(path, links[0], folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _sweep() -> None:
    """Remove what killed workers left."""
    import psutil

    for left in Path(tempfile.gettempdir()).glob(f"{BESIDE}*-*"):
        told = left.name.removeprefix(BESIDE).partition("-")[0]
        if told.isdecimal() and not psutil.pid_exists(int(told)):
            shutil.rmtree(left, ignore_errors=True)


class OpenedSlide:
    """An open OpenSlide handle.

    Args:
        path: as submitted, for errors; opened: what OpenSlide is given; folder: goes with the handle.
    """

    def __init__(self, path: Path, opened: Path, folder: Path | None = None) -> None:
        self._path, self._opened, self._folder = path, opened, folder
        self.handle = self._open()

    def again(self) -> None:
        """Open anew: a handle that failed once fails for every later read."""
        self.handle.close()
        self.handle = self._open()

    def close(self) -> None:
        """Close the handle."""
        self.handle.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _open(self) -> Any:
        import openslide

        try:
            return openslide.OpenSlide(self._opened)
        except (openslide.OpenSlideError, OSError) as error:
            if "compression" in str(error).lower():
                raise InputError(
                    "is compressed in a way that is not read",
                    place=str(self._path),
                    remedy="export it as 8-bit RGB PNG, JPEG or TIFF",
                    code=InputCode.UNSUPPORTED_FORMAT,
                ) from error
            raise _unreadable("cannot be opened", self._path) from error


class OpenSlideLevels:
    """Levels of a slide in a scanner's own format; transparent pixels (never scanned) are white.

    Raises:
        InputError: as ``open_slide``.
    """

    def __init__(self, path: Path, parts: Sequence[Path] = ()) -> None:
        self._path = path
        self._slide = open_slide(path, parts)

    def region(self, level: int, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """Read a region of one level, (y1 - y0, x1 - x0, 3) uint8 RGB; InputError where the file is damaged."""
        from openslide import OpenSlideError

        downsample = self._slide.handle.level_downsamples[level]
        corner = (round(x0 * downsample), round(y0 * downsample))
        try:
            rgba = np.asarray(self._slide.handle.read_region(corner, level, (x1 - x0, y1 - y0)), np.uint8)
        except OpenSlideError as error:
            self._slide.again()
            raise _unreadable(f"cannot be read at {corner}", self._path) from error
        return without_alpha(rgba)

    def close(self) -> None:
        """Close the slide."""
        self._slide.close()


def _unreadable(what: str, path: Path) -> InputError:
    return InputError(
        what, place=str(path), remedy="the file is damaged; scan or export it again", code=InputCode.UNREADABLE
    )
