"""Folders as laboratories leave them: which files are slides, which belong to one, and which are passed over."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hema_stages.readers.probe import IMAGE_SUFFIXES
from hema_stages.readers.sets import ENTRIES, OutsideError, dicom_series, is_dicom, named_parts
from hema_stream.core.errors import InputCode, InputError

DICOM_SUFFIXES = frozenset({"", ".dcm", ".dicom"})
"""DICOM has no ending of its own, and archives leave it away."""
_UNREAD = """
.avif .bmp .cr2 .czi .dng .emf .gif .heic .heif .ims .isyntax .j2k .jls .jp2 .jpf .jpx .jxl .jxr .kfb .lif .lsm .mds
.mdsx .nd2 .nef .nrrd .oib .oif .pbm .pcx .pgm .pict .pnm .ppm .psd .raw .sdpc .tga .tmap .vsi .wdp .webp .zvi
"""
UNREAD_SUFFIXES = frozenset(_UNREAD.split())
"""Pictures and slides of kinds that are not read."""
CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".download", ".filepart", ".swp", ".bak")
OVERLAY, REPORT = "overlay.png", "report.json"
"""A picture of the product's own, and what lies beside it."""


@dataclass(frozen=True)
class Found:
    """A slide that was found: its file, and the other files of a slide of several."""

    path: Path
    parts: tuple[Path, ...] = ()


def is_clutter(path: Path) -> bool:
    """Whether a file is hidden, temporary or kept by a system for itself, or one of the product's own pictures."""
    name = path.name.casefold()
    kept = name.startswith((".", "~$", "._")) or name in CLUTTER or name.endswith((*UNFINISHED, "~"))
    return kept or (name == OVERLAY and (path.parent / REPORT).is_file())


def slides_in(folder: Path) -> tuple[list[Found], list[InputError]]:
    """Find the slides of a folder, not of those within, each once however many files it has.

    Returns:
        The slides by name, and an error for each picture of a kind that is not read and each slide whose files name
        others that are not in the folder.
    """
    files = sorted(p for p in folder.iterdir() if not is_clutter(p) and not p.is_dir())
    errors = [_unread(path) for path in files if path.suffix.lower() in UNREAD_SUFFIXES]
    named: list[Found] = []
    for entry in (path for path in files if path.suffix.lower() in ENTRIES):
        try:
            named.append(Found(entry, tuple(named_parts(entry))))
        except OutsideError:
            errors.append(_outside(entry))
        except OSError:
            named.append(Found(entry))  # opening it will say why
    taken = {os.path.abspath(path) for slide in named for path in (slide.path, *slide.parts)}
    rest = [path for path in files if os.path.abspath(path) not in taken]
    images = [Found(path) for path in rest if path.suffix.lower() in IMAGE_SUFFIXES - ENTRIES]
    dicom = list(in_series(path for path in rest if path.suffix.lower() in DICOM_SUFFIXES and _is_slide(path)))
    return sorted((*named, *images, *dicom), key=lambda slide: slide.path), errors


def joined(slides: Iterable[Found]) -> list[Found]:
    """Make one slide of files that were named one by one, where all of them were; nothing else is looked for."""
    slides = list(slides)
    submitted = {os.path.abspath(slide.path) for slide in slides}
    whole = [_with_named(slide, submitted) for slide in slides]
    belonging = {os.path.abspath(part) for slide in whole for part in slide.parts}
    alone = [slide.path for slide in whole if not slide.parts and os.path.abspath(slide.path) not in belonging]
    series = {slide.path: slide for slide in in_series(sorted(alone))}
    return [series.get(slide.path, slide) for slide in whole if slide.parts or slide.path in series]


def _with_named(slide: Found, submitted: set[str]) -> Found:
    if slide.parts or slide.path.suffix.lower() not in ENTRIES:
        return slide
    try:
        return Found(slide.path, tuple(p for p in named_parts(slide.path) if os.path.abspath(p) in submitted))
    except (OutsideError, OSError):
        return slide  # opening it will say why


def in_series(paths: Iterable[Path]) -> Iterator[Found]:
    """Join the DICOM files of one slide that lie in one folder; every other file is a slide of its own."""
    series: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        key = (path.parent, _series(path) or f"\0{path.name}")
        series.setdefault(key, []).append(path)
    for first, *others in series.values():
        yield Found(first, tuple(others))


def _series(path: Path) -> str | None:
    if path.suffix.lower() not in DICOM_SUFFIXES:
        return None
    try:
        return dicom_series(path) if path.is_file() and is_dicom(path) else None
    except OSError:
        return None


def _is_slide(path: Path) -> bool:
    """What is named as DICOM is asked for; of what has no ending only whole slides are."""
    return bool(path.suffix) or _series(path) is not None


def _unread(path: Path) -> InputError:
    return InputError(
        f"pictures of this kind ({path.suffix.lower()}) are not read",
        place=str(path),
        remedy="export it as 8-bit RGB PNG, JPEG or TIFF",
        code=InputCode.UNSUPPORTED_FORMAT,
    )


def _outside(path: Path) -> InputError:
    return InputError(
        "names files outside its folder",
        place=str(path),
        remedy="put all files of the slide into one folder",
        code=InputCode.SEVERAL_FILES,
    )
