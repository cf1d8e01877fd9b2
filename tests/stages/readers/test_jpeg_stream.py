"""JPEG streams as bytes."""

from __future__ import annotations

import numpy as np
import pytest
import simplejpeg
from hema_stages.readers.jpeg_stream import Frame, frame_of, table_segments, whole_stream


def parts(stream):
    """Take a whole stream apart as TIFF stores it: a tile without tables, and the tables."""
    place, tables, rest = 2, b"", b""
    while stream[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(stream[place + 2 : place + 4])
        if stream[place + 1] in (0xDB, 0xC4):
            tables += stream[place:end]
        else:
            rest += stream[place:end]
        place = end
    return b"\xff\xd8" + rest + stream[place:], b"\xff\xd8" + tables + b"\xff\xd9"


@pytest.fixture
def stream(picture):
    return simplejpeg.encode_jpeg(np.ascontiguousarray(picture[:96, :160]), 90, colorsubsampling="420")


def test_frame_says_what_is_declared(stream):
    assert frame_of(stream) == Frame(160, 96, 8, 3)


def test_abbreviated_stream_and_tables_make_a_whole_one(stream):
    tile, tables = parts(stream)
    with pytest.raises(ValueError, match="not defined"):
        simplejpeg.decode_jpeg(tile)
    whole = whole_stream(tile, table_segments(tables), ycbcr=True)
    assert np.array_equal(simplejpeg.decode_jpeg(whole), simplejpeg.decode_jpeg(stream))


def test_photometric_of_the_tiff_wins_over_the_stream_s_own_marker(stream):
    as_rgb = whole_stream(stream, b"", ycbcr=False)
    again = whole_stream(as_rgb, b"", ycbcr=True)
    pixels = simplejpeg.decode_jpeg(stream)
    assert not np.array_equal(simplejpeg.decode_jpeg(as_rgb), pixels)
    assert np.array_equal(simplejpeg.decode_jpeg(again), pixels)


@pytest.mark.parametrize("junk", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\xff\xd8hello world", b"II*\0abcdefgh"])
def test_what_is_no_jpeg_is_a_value_error(junk):
    with pytest.raises(ValueError, match="JPEG"):
        frame_of(junk)
    with pytest.raises(ValueError, match="JPEG"):
        whole_stream(junk, b"", ycbcr=True)


def test_no_tables():
    assert table_segments(None) == b""
