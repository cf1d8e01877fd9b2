"""Slides of several files: which files belong to one, told without opening what a file names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ENTRIES = frozenset({".vms", ".vmu", ".mrxs"})
"""Endings of files that name others: Hamamatsu's key files, and MIRAX, whose index lies in a folder of its name."""
MOST_TEXT = 1 << 20
_WORDS = (b"file", b"macroimage")
_COUNTS = frozenset({b"file_count"})
_DICOM_AT, _DICOM = 128, b"DICM"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_SERIES = 0x0020000E
SLIDE_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""VL Whole Slide Microscopy Image Storage."""


class OutsideError(ValueError):
    """A file names another by a path, or one that lies elsewhere."""


def named_parts(entry: Path) -> list[Path]:
    """Files that an entry file names, as far as they are there: all in its folder, or in MIRAX's of its name.

    Raises:
        OutsideError: one is named by a path, or is a link that leads out of the entry's folder.
        OSError: an index cannot be read.
    """
    if entry.suffix.lower() == ".mrxs":
        folder = entry.with_suffix("")
        index = folder / "Slidedat.ini"
        found = [index, *(folder / name for name in _names(index))] if index.is_file() else []
    else:
        found = [entry.parent / name for name in _names(entry)]
    present = [path for path in dict.fromkeys(found) if path.is_file()]
    home = entry.parent.resolve()
    for path in present:
        if not path.resolve().is_relative_to(home):
            raise OutsideError(path.name)
    return present


def _names(index: Path) -> list[str]:
    """Values of an index's keys that stand for files; each a plain name."""
    with index.open("rb") as handle:
        text = handle.read(MOST_TEXT + 1)
    if len(text) > MOST_TEXT:
        raise OutsideError(index.name)
    names = []
    for line in re.split(rb"[\r\n]", text):
        key, _, value = (side.strip() for side in line.partition(b"="))
        key = key.lower()
        if not value or key in _COUNTS or not any(word in key for word in _WORDS):
            continue
        if re.search(rb"[/\\\0]", value) or value == b"..":
            raise OutsideError(index.name)
        names.append(value.decode("utf-8", "surrogateescape"))
    return names


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its first bytes."""
    with path.open("rb") as handle:
        return handle.read(_DICOM_AT + len(_DICOM))[_DICOM_AT:] == _DICOM


def dicom_series(path: Path) -> str | None:
    """Name the series of a whole-slide DICOM file; None where it is none, or is damaged. Reads its head alone."""
    from pydicom.filereader import read_partial

    def past(tag: Any, _: Any, __: Any) -> bool:
        return bool(tag > _SERIES)

    try:
        with path.open("rb") as handle:
            if not _inflated(handle):
                return None
            handle.seek(0)
            head = read_partial(handle, past, defer_size=1 << 16, specific_tags=_tags())
        if str(head.get("SOPClassUID", "")) != SLIDE_CLASS:
            return None
        return str(head.get("SeriesInstanceUID", "")) or None
    except MemoryError:
        raise
    except Exception:  # a damaged head fails in as many ways as it has elements
        return None


def _inflated(handle: Any) -> bool:
    """Whether the file is not deflated as a whole, which would be inflated only to look at its head."""
    from pydicom.filereader import _read_file_meta_info, read_preamble

    read_preamble(handle, force=False)
    return str(_read_file_meta_info(handle).get("TransferSyntaxUID", "")) != _DEFLATED


def _tags() -> list[Any]:
    from pydicom.tag import Tag

    return [Tag(0x00080016), Tag(_SERIES)]
