"""What a TIFF's headers say, and whether they can be true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hema_stages.readers.probe import Probe
from hema_stages.readers.scale import tiff_scale
from hema_stages.readers.tiff_colour import AGAIN, CHUNKY, check_page, check_rgb
from hema_stages.readers.tiff_pages import open_tiff, orientation_of, picture_pages
from hema_stages.readers.tiff_pieces import piece_size
from hema_stages.readers.turned import orientation, upright_size
from hema_stream.core.errors import InputCode, InputError
from hema_stream.core.slide import Level


def probe_tiff(path: Path) -> Probe:
    """Read a TIFF's headers.

    Raises:
        InputError: unreadable, truncated, wrong_color, bad_levels, several_pictures or unsupported_format.
    """
    try:
        with open_tiff(path) as file:
            check_rgb(file.pages.first, path)
            pages = picture_pages(file, path)
            check_page(pages[0], path)
            tiled = pages[0].is_tiled and int(pages[0].planarconfig) == CHUNKY
            for page in pages[1:] if tiled else ():
                _check_level(page, path)
            pages = pages if tiled else pages[:1]
            _check_complete(pages, path)
            return _described(pages, "tiled" if tiled else "plain", file)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a damaged directory fails in as many ways as it has fields
        raise InputError("not a readable TIFF", place=str(path), remedy=AGAIN, code=InputCode.UNREADABLE) from error


def _described(pages: list[Any], reader: str, file: Any) -> Probe:
    turn = orientation(orientation_of(pages[0]))
    sizes = [upright_size((int(page.imagewidth), int(page.imagelength)), turn) for page in pages]
    levels = tuple(Level(width, height, sizes[0][0] / width) for width, height in sizes)
    tile = max(map(piece_size, pages), key=lambda size: size[0] * size[1])
    return Probe(reader, levels, tiff_scale(file, pages[0]), pages[0].samplesperpixel == 4, tile, turn)


def _check_level(page: Any, path: Path) -> None:
    if not page.is_tiled or int(page.planarconfig) != CHUNKY:
        raise _bad_levels(path, "a level is not stored in tiles of interleaved channels")
    try:
        check_page(page, path)
    except InputError as error:
        raise _bad_levels(path, f"a level is {error.message}") from error


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
    planes = 1 if int(page.planarconfig) == CHUNKY else int(page.samplesperpixel)
    width, height = piece_size(page)
    return planes * -(-int(page.imagewidth) // width) * -(-int(page.imagelength) // height)


def _bad_levels(path: Path, what: str) -> InputError:
    return InputError(what, place=str(path), remedy="export the pyramid again", code=InputCode.BAD_LEVELS)
