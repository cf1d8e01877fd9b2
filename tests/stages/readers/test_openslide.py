"""What OpenSlide reads, on files that both it and the tiled reader open."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hema_stages.readers import Reader, open_reader
from hema_stages.readers.openslide import OpenSlideLevels

from hema_stream.core.errors import InputError

GROUND = np.full(3, 240, np.uint8)


def test_same_pixels_as_by_tiles(write_pyramid, slide_of, picture):
    slide = slide_of(write_pyramid(picture, levels=(1,)))
    by_tiles = open_reader(slide, "plain")
    reader = Reader(slide, OpenSlideLevels(slide.path))
    for box, size in [((0, 0, 900, 700), (900, 700)), ((-20, 33, 680, 533), (350, 250))]:
        a, b = by_tiles.read(box, size, GROUND), reader.read(box, size, GROUND)
        assert np.abs(a.astype(int) - b).max() <= 2
    reader.close()


def test_damaged_tile_is_typed_and_the_others_are_still_read(write_pyramid, slide_of, picture):
    path = write_pyramid(picture, levels=(1,))
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        offset, count = page.dataoffsets[0], page.databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    reader = Reader(slide_of(path), OpenSlideLevels(path))
    with pytest.raises(InputError) as caught:
        reader.read((0, 0, 100, 100), (100, 100), GROUND)
    assert caught.value.code == "unreadable"
    assert caught.value.place == str(path)
    right = reader.read((400, 300, 600, 500), (200, 200), GROUND)
    assert np.abs(right.astype(int) - picture[300:500, 400:600]).mean() < 3


def test_what_it_cannot_open(tmp_path):
    (tmp_path / "a.svs").write_text("no slide")
    with pytest.raises(InputError, match="not read"):
        OpenSlideLevels(tmp_path / "a.svs")
