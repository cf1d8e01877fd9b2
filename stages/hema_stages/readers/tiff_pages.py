"""Which pages of a TIFF are the picture meant, and which are its coarser levels, told by their tags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from hema_stream.core.errors import InputCode, InputError

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MOST_PAGES = 512
REDUCED, MASK = 1, 4
_OLD_REDUCED = 2
"""SubfileType, which TIFF 6.0 replaced by NewSubfileType."""
SMALLER = 0.75
"""A level has at most this share of the width of the one before it."""
_SHAPE = re.compile(r"shape\W+([0-9][0-9, ]*[0-9])")
_ASIDE = re.compile(r"(?:^|\n)\s*(?:label|macro|thumbnail|overview|preview|mask)\b", re.IGNORECASE)


def is_tiff(path: Path) -> bool:
    """Whether a file is TIFF or BigTIFF, by its first bytes."""
    with path.open("rb") as handle:
        return handle.read(4) in MAGIC


def open_tiff(path: Path) -> Any:
    """Open a TIFF, and never another file that it names (OME-TIFF can)."""
    import tifffile

    return tifffile.TiffFile(path, _multifile=False)


def picture_pages(file: Any, path: Path) -> list[Any]:
    """List the pages of the picture's levels, largest first, whether or not they belong together.

    The picture is the one page that is no reduced version, mask, label, macro or thumbnail. Its levels are its SubIFDs
    (OME-TIFF), else the tiled pages marked as reduced that have its shape (libtiff, libvips), else unmarked tiled pages
    that get smaller and have its shape. ``file`` is from ``open_tiff``.

    Raises:
        InputError: several_pictures, where fields, focal planes or channels are kept in one file.
    """
    tops = list(islice(file.pages, MOST_PAGES))
    if len(tops) == MOST_PAGES:
        raise _several(path, f"{MOST_PAGES} or more pages")
    aside = _named_aside(file)
    whole = [page for n, page in enumerate(tops) if n not in aside and not _is_aside(page)]
    whole += [sub for page in tops if _is_reduced(page) for sub in page.pages or () if not _is_aside(sub)]
    if not whole and len(tops) == 1:
        whole = tops
    if not whole:
        raise _several(path, "several pages, none marked as the picture")
    whole.sort(key=lambda page: -int(page.imagewidth))
    first, unmarked = whole[0], whole[1:]
    if unmarked and not (first.is_tiled and all(_follows(*pair) for pair in zip(whole, unmarked, strict=False))):
        raise _several(path, f"{len(whole)} pictures")
    if _planes(file, first) > 1:
        raise _several(path, "several focal planes or channels")
    marked = first.pages or [page for page in tops if _is_reduced(page) and page is not first]
    return [first, *(unmarked or (list(first.pages) if first.pages else _levels(first, marked)))]


def orientation_of(page: Any) -> Any:
    """The orientation tag's value; 1 where there is none."""
    return page.tags.valueof("Orientation", 1)


def _levels(first: Any, reduced: list[Any]) -> Iterator[Any]:
    """Pages that can be levels; thumbnails, labels and macros have other shapes or are no smaller."""
    before = first
    for page in sorted(reduced, key=lambda page: -int(page.imagewidth)):
        if not _is_mask(page) and page.is_tiled and _follows(before, page, first):
            yield page
            before = page


def _follows(before: Any, page: Any, first: Any = None) -> bool:
    """Whether a page is a smaller version of another, off by the rounding of its sides at most."""
    first = first or before
    width, height = int(page.imagewidth), int(page.imagelength)
    shape = int(first.imagelength) / int(first.imagewidth)
    return width <= SMALLER * int(before.imagewidth) and abs(height - width * shape) <= 1.5 * (1 + shape)


def _is_reduced(page: Any) -> bool:
    return bool(int(page.subfiletype) & REDUCED) or page.tags.valueof("SubfileType") == _OLD_REDUCED


def _is_mask(page: Any) -> bool:
    return bool(int(page.subfiletype) & MASK) or int(page.photometric) == MASK


def _is_aside(page: Any) -> bool:
    """Whether a page's own tags say that it only accompanies the picture."""
    if _is_reduced(page) or _is_mask(page):
        return True
    told = (page.description, page.tags.valueof("PageName", ""))
    return any(isinstance(text, str) and _ASIDE.search(text[:1000]) for text in told)


def _named_aside(file: Any) -> set[int]:
    """Numbers of the pages that OME-XML names as label, macro or thumbnail."""
    if not file.is_ome:
        return set()
    root = ome_root(file.ome_metadata or "")
    if root is None:
        return set()
    images = [image for image in root.iter() if image.tag.endswith("}Image")]
    return {
        int(data.get("IFD", "0"))
        for image in images
        if len(images) > 1 and _ASIDE.search(image.get("Name", ""))
        for data in image.iter()
        if data.tag.endswith("}TiffData") and data.get("IFD", "0").isdecimal()
    }


def ome_root(xml: str) -> ElementTree.Element | None:
    """Parse OME-XML; None where it is none. Entities are not expanded but refused."""
    if "<!" in xml.replace("<!--", ""):
        return None
    try:
        return ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None


def _planes(file: Any, page: Any) -> int:
    """Planes that stand behind one page: a volume, ImageJ's stacks, and tifffile's arrays."""
    if int(page.imagedepth) > 1:
        return int(page.imagedepth)
    if file.is_imagej and len(file.pages) == 1:
        told = (file.imagej_metadata or {}).get("images", 1)
        return told if isinstance(told, int) else 1
    told = _SHAPE.search(page.shaped_description or "") if len(file.pages) == 1 else None
    return prod(map(int, told[1].split(","))) // max(prod(page.shape), 1) if told else 1


def _several(path: Path, what: str) -> InputError:
    return InputError(
        f"holds {what}",
        place=str(path),
        remedy="store each picture in a file of its own",
        code=InputCode.SEVERAL_PICTURES,
    )
