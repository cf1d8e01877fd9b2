"""Chunks of a PNG, walked by their headers (PNG specification, third edition)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PNG = b"\x89PNG\r\n\x1a\n"
END = b"IEND"
_EXIF, _ANIMATION = b"eXIf", b"acTL"
MOST_EXIF = 1 << 20


def exif_of(path: Path) -> bytes:
    """The Exif data of a PNG, before its pixels or behind them; empty where there are none."""
    with path.open("rb") as handle:
        for kind, place, length in _chunks(path):
            if kind == _EXIF and length <= MOST_EXIF:
                handle.seek(place)
                return handle.read(length)
    return b""


def is_animated(path: Path) -> bool:
    """Whether a PNG holds several pictures (APNG)."""
    return any(kind == _ANIMATION for kind, _, _ in _chunks(path))


def _chunks(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and length of each chunk's data, until the end or until there is no chunk."""
    with path.open("rb") as handle:
        place = len(PNG)
        while True:
            handle.seek(place)
            head = handle.read(8)
            if len(head) < 8:
                return
            length, kind = int.from_bytes(head[:4]), head[4:]
            yield kind, place + 8, length
            if kind == END:
                return
            place += 12 + length
