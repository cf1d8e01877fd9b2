"""What a TIFF's headers say, and whether they can be true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hema_stages.readers.probe import AGAIN, Probe, plain_probe, wrong_color
from hema_stages.readers.scale import tiff_scale
from hema_stages.readers.tiled import tiled_pages
from hema_stream.core.errors import InputCode, InputError
from hema_stream.core.slide import Level

RGB, YCBCR = 2, 6


def probe_tiff(path: Path) -> Probe:
    """Read a TIFF's headers.

    Raises:
        InputError: unreadable, truncated, wrong_color, bad_levels or unsupported_format.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            _check_colour(page, path)
            _check_compression(page, path)
            if not page.is_tiled or int(page.planarconfig) != 1:
                _check_complete([page], path)
                return plain_probe(
                    path, (int(page.imagewidth), int(page.imagelength)), tiff_scale(file), page.samplesperpixel == 4
                )
            return _probe_tiled(path, file)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a damaged directory fails in as many ways as it has fields
        raise InputError(
            f"not a readable TIFF: {error}", place=str(path), remedy=AGAIN, code=InputCode.UNREADABLE
        ) from error


def _probe_tiled(path: Path, file: Any) -> Probe:
    try:
        pages = tiled_pages(file)
    except ValueError as error:
        raise _bad_levels(path, str(error)) from error
    for page in pages[1:]:
        if not _is_rgb(page):
            raise _bad_levels(path, f"a level has {page.bitspersample} bits, {page.samplesperpixel} channels")
        _check_compression(page, path)
    _check_complete(pages, path)
    width = int(pages[0].imagewidth)
    levels = tuple(Level(int(p.imagewidth), int(p.imagelength), width / int(p.imagewidth)) for p in pages)
    largest = max(pages, key=lambda page: int(page.tilewidth) * int(page.tilelength))
    tile = (int(largest.tilewidth), int(largest.tilelength))
    return Probe("tiled", levels, tiff_scale(file), pages[0].samplesperpixel == 4, tile)


def _is_rgb(page: Any) -> bool:
    return (
        page.bitspersample == 8
        and page.sampleformat == 1
        and page.samplesperpixel in (3, 4)
        and int(page.photometric) in (RGB, YCBCR)
    )


def _check_colour(page: Any, path: Path) -> None:
    if not _is_rgb(page):
        name = getattr(page.photometric, "name", page.photometric)
        raise wrong_color(path, f"{name}, {page.bitspersample} bits, {page.samplesperpixel} channels")


def _check_compression(page: Any, path: Path) -> None:
    import tifffile

    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
    except (KeyError, ImportError) as error:
        raise InputError(
            f"unknown compression {int(page.compression)}",
            place=str(path),
            remedy=AGAIN,
            code=InputCode.UNSUPPORTED_FORMAT,
        ) from error


def _check_complete(pages: list[Any], path: Path) -> None:
    """Every piece that the directories name must lie within the file, and none may be missing."""
    size = path.stat().st_size
    for page in pages:
        offsets, counts = page.dataoffsets, page.databytecounts
        if not (len(offsets) == len(counts) >= _pieces(page)):
            raise InputError(
                f"names {len(offsets)} pieces of {_pieces(page)}",
                place=str(path),
                remedy=AGAIN,
                code=InputCode.UNREADABLE,
            )
        end = max((o + c for o, c in zip(offsets, counts, strict=True)), default=0)
        if end > size:
            raise InputError(
                f"ends at byte {size}, its pixels at {end}",
                place=str(path),
                remedy="copy the file again, it was cut short",
                code=InputCode.TRUNCATED,
            )


def _pieces(page: Any) -> int:
    planes = int(page.samplesperpixel) if int(page.planarconfig) == 2 else 1
    width, height = int(page.imagewidth), int(page.imagelength)
    if page.is_tiled:
        return planes * -(-width // int(page.tilewidth)) * -(-height // int(page.tilelength))
    return planes * -(-height // min(int(page.rowsperstrip), height))


def _bad_levels(path: Path, what: str) -> InputError:
    return InputError(what, place=str(path), remedy="export the pyramid again", code=InputCode.BAD_LEVELS)
