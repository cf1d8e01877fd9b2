"""JPEG streams as bytes: what their headers declare, and whole streams from TIFF's abbreviated ones (ITU-T T.81)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

START, END = b"\xff\xd8", b"\xff\xd9"
_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JFIF, _ADOBE = 0xE0, 0xEE


@dataclass(frozen=True)
class Frame:
    """What a stream declares: size in pixels, bits a sample, number of components."""

    width: int
    height: int
    precision: int
    components: int


def frame_of(stream: bytes) -> Frame:
    """Read a stream's frame header, before anything is decoded; ValueError where there is none."""
    for marker, start, _ in _segments(stream):
        if marker in _FRAMES:
            height, width = int.from_bytes(stream[start + 5 : start + 7]), int.from_bytes(stream[start + 7 : start + 9])
            return Frame(width, height, stream[start + 4], stream[start + 9])
    raise ValueError("the JPEG has no frame header")


def table_segments(tables: bytes | None) -> bytes:
    """Take the segments out of TIFF's JPEGTables; empty where there are none."""
    if not tables:
        return b""
    return b"".join(tables[start:end] for _, start, end in _segments(tables))


def whole_stream(stream: bytes, tables: bytes, ycbcr: bool) -> bytes:
    """Make a stream that stands alone.

    Args:
        stream: a tile's, perhaps abbreviated.
        tables: segments that TIFF keeps apart, from ``table_segments``.
        ycbcr: whether its components are YCbCr, which TIFF's photometric tag says and the stream may not; an Adobe
            marker then says it to every decoder alike (Adobe TN 5116).

    Raises:
        ValueError: it is no JPEG.
    """
    kept, scan = [], None
    for marker, start, end in _segments(stream):
        if marker == _SCAN:
            scan = start
        elif marker not in (_JFIF, _ADOBE):
            kept.append(stream[start:end])
    if scan is None:
        raise ValueError("the JPEG has no scan")
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + (b"\x01" if ycbcr else b"\x00")
    return b"".join((START, adobe, tables, *kept, stream[scan:]))


def _segments(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Walk (marker, start, end) of the segments up to the first scan, or to the end of a tables-only stream."""
    if stream[:2] != START:
        raise ValueError("no JPEG start marker")
    place = 2
    while place + 4 <= len(stream):
        if stream[place] != 0xFF:
            raise ValueError(f"byte {place} of the JPEG is no marker")
        marker = stream[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        if marker == 0xD9:
            return
        end = place + 2 + int.from_bytes(stream[place + 2 : place + 4])
        yield marker, place, end
        if marker == _SCAN:
            return
        place = end
