"""Opening a file for the first time: format, size, colour, levels and scale, from headers before any pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hema_stages.readers.jpeg_stream import START
from hema_stages.readers.openslide import open_slide, vendor_of
from hema_stages.readers.plain import picture_header, picture_orientation
from hema_stages.readers.png_chunks import PNG, is_animated
from hema_stages.readers.scale import openslide_scale, png_scale
from hema_stages.readers.tiff_colour import AGAIN, wrong_color
from hema_stages.readers.tiff_pages import MAGIC
from hema_stages.readers.turned import upright_size
from hema_stream.core.errors import InputCode, InputError
from hema_stream.core.slide import UPRIGHT, Level

IMAGE_SUFFIXES = frozenset(
    {
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".tif",
        ".tiff",
        ".svs",
        ".ndpi",
        ".scn",
        ".mrxs",
        ".vms",
        ".vmu",
        ".bif",
        ".svslide",
    }
)


@dataclass(frozen=True)
class Probe:
    """What the headers say.

    Attributes:
        reader: which reader opens it.
        levels: largest first, as they stand upright.
        mpp: microns a level-0 pixel, where the file tells one that can be true.
        alpha: whether it has a channel that is dropped.
        tile: (width, height) of the largest piece that is decoded at once; of a PNG or JPEG the whole.
        orientation: how levels in tiles are stored (Exif's numbers).
    """

    reader: str
    levels: tuple[Level, ...]
    mpp: float | None
    alpha: bool
    tile: tuple[int, int]
    orientation: int = UPRIGHT


def probe(path: Path, parts: Sequence[Path] = ()) -> Probe:
    """Read a file's headers.

    Args:
        path: the file; parts: the other files of its slide that were submitted with it.

    Raises:
        InputError: unsupported_format, several_files, several_pictures, unreadable, truncated, wrong_color or
            bad_levels.
    """
    with path.open("rb") as handle:
        magic = handle.read(8)
    if magic[:2] == START or magic == PNG:
        return _probe_picture(path)
    vendor = vendor_of(path)
    if magic[:4] in MAGIC and vendor in (None, "generic-tiff"):
        from hema_stages.readers.probe_tiff import probe_tiff

        return probe_tiff(path)
    if vendor is None:
        raise _unknown(path)
    opened = open_slide(path, parts)
    try:
        return _describe(opened.handle)
    finally:
        opened.close()


def _probe_picture(path: Path) -> Probe:
    try:
        image = picture_header(path)
        alpha = image.mode == "RGBA" or "transparency" in image.info
        if image.format == "PNG":
            _check_png(path)
        _check_mode(image.mode, path)
        mpp = png_scale(image) if image.format == "PNG" else None  # a JPEG's density is a printer's
        size = upright_size(image.size, picture_orientation(path))
        return Probe("plain", (Level(*size, 1.0),), mpp, alpha, size)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # damaged headers fail in as many ways as they have fields
        raise InputError("not a readable image", place=str(path), remedy=AGAIN, code=InputCode.UNREADABLE) from error


def _check_mode(mode: str, path: Path) -> None:
    if mode not in ("RGB", "RGBA"):
        names = {"L": "grey", "P": "palette", "LA": "grey", "1": "black and white", "I;16": "16-bit grey"}
        raise wrong_color(path, names.get(mode, mode))


def _check_png(path: Path) -> None:
    with path.open("rb") as handle:
        depth = handle.read(26)[24]  # IHDR's; PIL tells 16-bit RGB as RGB, and a palette counts as 8
    if depth > 8:
        raise wrong_color(path, f"{depth} bits a channel")
    if is_animated(path):
        remedy = "store each picture in a file of its own"
        raise InputError("is an animation", place=str(path), remedy=remedy, code=InputCode.SEVERAL_PICTURES)


def _describe(slide: Any) -> Probe:
    levels = tuple(
        Level(w, h, float(d)) for (w, h), d in zip(slide.level_dimensions, slide.level_downsamples, strict=True)
    )
    tiles = [
        tuple(int(slide.properties.get(f"openslide.level[{n}].tile-{side}", 0)) for side in ("width", "height"))
        for n in range(len(levels))
    ]
    width, height = max(tiles, key=lambda tile: tile[0] * tile[1])
    return Probe("openslide", levels, openslide_scale(slide.properties), False, (width, height))


def _unknown(path: Path) -> InputError:
    """A file with an image's name that is none is unreadable; anything else is of another format."""
    named = path.suffix.lower() in IMAGE_SUFFIXES
    code = InputCode.UNREADABLE if named else InputCode.UNSUPPORTED_FORMAT
    return InputError("not an image that can be read", place=str(path), remedy=AGAIN, code=code)
