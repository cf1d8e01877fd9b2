"""Opening a file for the first time: format, size, colour, levels and scale, from headers before any pixel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hema_stages.readers.jpeg_stream import START
from hema_stages.readers.plain import PNG, orientation_of, picture_header
from hema_stages.readers.scale import openslide_scale, png_scale
from hema_stream.core.errors import InputCode, InputError
from hema_stream.core.slide import Level

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
AGAIN = "export it as 8-bit RGB PNG, JPEG or TIFF"
IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".svs", ".ndpi", ".scn", ".mrxs", ".vms", ".vmu", ".bif", ".svslide"}
)


@dataclass(frozen=True)
class Probe:
    """What the headers say.

    Attributes:
        reader: which reader opens it.
        levels: largest first; of a plain picture as it stands upright.
        mpp: microns a level-0 pixel, where the file tells one that can be true.
        alpha: whether it has a channel that is dropped.
        tile: (width, height) of the largest piece that is decoded at once; the whole of a plain picture.
    """

    reader: str
    levels: tuple[Level, ...]
    mpp: float | None
    alpha: bool
    tile: tuple[int, int]


def probe(path: Path) -> Probe:
    """Read a file's headers.

    Raises:
        InputError: unsupported_format, unreadable, truncated, wrong_color or bad_levels.
    """
    with path.open("rb") as handle:
        magic = handle.read(8)
    if magic[:2] == START or magic == PNG:
        return _probe_picture(path)
    vendor = openslide_vendor(path)
    if magic[:4] in TIFF and vendor in (None, "generic-tiff"):
        from hema_stages.readers.probe_tiff import probe_tiff

        return probe_tiff(path)
    if vendor is None:
        raise _unknown(path)
    return _probe_openslide(path)


def openslide_vendor(path: Path) -> str | None:
    """Name the scanner format that OpenSlide sees in a file; None where it sees none."""
    import openslide

    found: str | None = openslide.OpenSlide.detect_format(path)
    return found


def wrong_color(path: Path, what: str) -> InputError:
    """Refuse what is not 8-bit RGB."""
    return InputError(f"not 8-bit RGB but {what}", place=str(path), remedy=AGAIN, code=InputCode.WRONG_COLOR)


def plain_probe(path: Path, size: tuple[int, int], mpp: float | None, alpha: bool) -> Probe:
    """Describe a plain picture of a stored (width, height), as it will stand upright."""
    upright = size[::-1] if orientation_of(path) >= 5 else size
    return Probe("plain", (Level(*upright, 1.0),), mpp, alpha, upright)


def _probe_picture(path: Path) -> Probe:
    try:
        image = picture_header(path)
        if image.format == "PNG" and _png_depth(path) != 8:
            raise wrong_color(path, f"{_png_depth(path)} bits a channel")
        _check_mode(image.mode, path)
        mpp = png_scale(image) if image.format == "PNG" else None  # a JPEG's density is a printer's
        return plain_probe(path, image.size, mpp, image.mode == "RGBA")
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"not a readable image: {error}", place=str(path), remedy=AGAIN, code=InputCode.UNREADABLE
        ) from error


def _check_mode(mode: str, path: Path) -> None:
    if mode not in ("RGB", "RGBA"):
        names = {"L": "grey", "P": "palette", "LA": "grey", "1": "black and white", "I;16": "16-bit grey"}
        raise wrong_color(path, names.get(mode, mode))


def _png_depth(path: Path) -> int:
    """Bits a channel, from IHDR; PIL tells 16-bit RGB as RGB. A palette counts as 8."""
    with path.open("rb") as handle:
        header = handle.read(26)
    return max(header[24], 8)


def _probe_openslide(path: Path) -> Probe:
    import openslide

    try:
        with openslide.OpenSlide(path) as slide:
            return _describe(slide)
    except openslide.OpenSlideError as error:
        code = InputCode.UNSUPPORTED_FORMAT if "compression" in str(error).lower() else InputCode.UNREADABLE
        raise InputError(f"cannot be opened: {error}", place=str(path), remedy=AGAIN, code=code) from error


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
