"""Opening a file for the first time: format, size, colour, levels and scale, from headers before any pixel."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hema_stream.core.errors import InputCode, InputError
from hema_stream.core.slide import Level

PLAUSIBLE_MPP = (0.02, 2.0)
AGAIN = "export it as 8-bit RGB PNG, JPEG or TIFF"


@dataclass(frozen=True)
class Probe:
    """What the headers say.

    Attributes:
        reader: which reader opens it.
        levels: largest first.
        mpp: microns a level-0 pixel, where the file tells one that can be true.
        alpha: whether it has a channel that is dropped.
        tile: largest tile or strip in pixels (width, height) that is decoded at once.
    """

    reader: str
    levels: tuple[Level, ...]
    mpp: float | None
    alpha: bool
    tile: tuple[int, int]


def probe(path: Path) -> Probe:
    """Read a file's headers.

    Raises:
        InputError: unsupported_format, unreadable, wrong_color or bad_levels.
    """
    with path.open("rb") as handle:
        magic = handle.read(8)
    if magic[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _probe_tiff(path)
    if magic[:2] == b"\xff\xd8" or magic == b"\x89PNG\r\n\x1a\n":
        return _probe_picture(path)
    return _probe_openslide(path)


def _probe_picture(path: Path) -> Probe:
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # the product's own limits are checked by validate
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(path)
    except (OSError, SyntaxError, UnidentifiedImageError, ValueError) as error:
        raise InputError(
            f"cannot be read: {error}", place=str(path), remedy=AGAIN, code=InputCode.UNREADABLE
        ) from error
    with image:
        _check_mode(image.mode, path)
        if image.format == "PNG" and _png_depth(path) != 8:
            raise _wrong_color(path, f"{_png_depth(path)} bits a channel")
        level = Level(image.width, image.height, 1.0)
        return Probe("plain", (level,), _png_scale(image), image.mode == "RGBA", image.size)


def _check_mode(mode: str, path: Path) -> None:
    if mode not in ("RGB", "RGBA"):
        names = {"L": "grey", "P": "palette", "LA": "grey", "CMYK": "CMYK", "1": "black and white"}
        raise _wrong_color(path, names.get(mode, f"16-bit or mode {mode}"))


def _wrong_color(path: Path, what: str) -> InputError:
    return InputError(f"not 8-bit RGB but {what}", place=str(path), remedy=AGAIN, code=InputCode.WRONG_COLOR)


def _png_depth(path: Path) -> int:
    with path.open("rb") as handle:
        return handle.read(25)[24]


def _png_scale(image: Any) -> float | None:
    """Take the scale of a PNG's pHYs chunk; a JPEG's density is a printer's and says nothing."""
    dpi = image.info.get("dpi") if image.format == "PNG" else None
    return plausible(25_400.0 / dpi[0]) if dpi and dpi[0] else None


def plausible(mpp: float) -> float | None:
    """Keep a scale that a microscope can have."""
    return mpp if PLAUSIBLE_MPP[0] <= mpp <= PLAUSIBLE_MPP[1] else None


def _probe_tiff(path: Path) -> Probe:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            if page.is_tiled and file.is_svs is False and _rgb(page):
                return _probe_tiled(path, file)
            if not page.is_tiled and _rgb(page):
                level = Level(int(page.imagewidth), int(page.imagelength), 1.0)
                alpha = page.samplesperpixel == 4
                return Probe("plain", (level,), _tiff_scale(page), alpha, (level.width, level.height))
            if not _rgb(page) and not _opens_in_openslide(path):
                raise _wrong_color(path, f"{page.bitspersample} bits, {page.samplesperpixel} channels")
    except InputError:
        raise
    except Exception as error:
        if not _opens_in_openslide(path):
            raise InputError(
                f"not a readable TIFF: {error}", place=str(path), remedy=AGAIN, code=InputCode.UNREADABLE
            ) from error
    return _probe_openslide(path)


def _rgb(page: Any) -> bool:
    return page.bitspersample == 8 and page.samplesperpixel in (3, 4) and int(page.photometric) in (2, 6)


def _probe_tiled(path: Path, file: Any) -> Probe:
    from hema_stages.readers.tiled import tiled_pages

    try:
        pages = tiled_pages(file)
        pages[0].decode  # noqa: B018  raises where the compression is not known
    except ValueError as error:
        raise InputError(str(error), place=str(path), remedy=AGAIN, code=InputCode.UNSUPPORTED_FORMAT) from error
    width = int(pages[0].imagewidth)
    levels = tuple(Level(int(p.imagewidth), int(p.imagelength), width / int(p.imagewidth)) for p in pages)
    tile = max((int(p.tilewidth), int(p.tilelength)) for p in pages)
    return Probe("tiled", levels, _tiff_scale(pages[0]), pages[0].samplesperpixel == 4, tile)


def _tiff_scale(page: Any) -> float | None:
    """Take the resolution tags; centimetres or inches."""
    resolution, unit = page.tags.get("XResolution"), page.tags.get("ResolutionUnit")
    if resolution is None or unit is None or not resolution.value[0]:
        return None
    microns = {2: 25_400.0, 3: 10_000.0}.get(int(unit.value))
    return plausible(microns * resolution.value[1] / resolution.value[0]) if microns else None


def _opens_in_openslide(path: Path) -> bool:
    import openslide

    return openslide.OpenSlide.detect_format(path) is not None


def _probe_openslide(path: Path) -> Probe:
    import openslide

    try:
        slide = openslide.OpenSlide(path)
    except openslide.OpenSlideUnsupportedFormatError as error:
        raise InputError("not an image that can be read", place=str(path), remedy=AGAIN, code=_unknown(path)) from error
    except openslide.OpenSlideError as error:
        raise InputError(f"cannot be opened: {error}", place=str(path), remedy=AGAIN, code=_failed(error)) from error
    with slide:
        levels = tuple(
            Level(w, h, float(d)) for (w, h), d in zip(slide.level_dimensions, slide.level_downsamples, strict=True)
        )
        told = slide.properties.get("openslide.mpp-x")
        tile = (
            int(slide.properties.get("openslide.level[0].tile-width", 0)),
            int(slide.properties.get("openslide.level[0].tile-height", 0)),
        )
        return Probe("openslide", levels, plausible(float(told)) if told else None, False, tile)


def _failed(error: Exception) -> InputCode:
    return InputCode.UNSUPPORTED_FORMAT if "ompression" in str(error) else InputCode.UNREADABLE


def _unknown(path: Path) -> InputCode:
    """A file with the name of an image that is none is unreadable; anything else is of another format."""
    return InputCode.UNREADABLE if path.suffix.lower() in IMAGE_SUFFIXES else InputCode.UNSUPPORTED_FORMAT


IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".svs", ".ndpi", ".scn", ".mrxs", ".vms", ".bif", ".svslide"}
)
