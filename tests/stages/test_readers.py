"""Readers: same pixels whatever the engine, the right level, background outside."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hema_stages.readers import open_reader
from hema_stages.readers.jpeg import dali_installed, jpeg_decoder
from hema_stages.validate import Validate

from hema_stream.core.errors import InputError
from hema_stream.core.slide import InputImage

FIELDS = Path(__file__).parents[2] / "examples" / "fields"


def smear(side: int = 900) -> np.ndarray:
    picture = cv2.imread(str(FIELDS / "chula-106.png"))[..., ::-1]
    return np.ascontiguousarray(np.tile(picture, (2, 2, 1))[:side, :side])


@pytest.fixture
def slide(tmp_path: Path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        options = {"tile": (256, 256), "compression": "jpeg", "photometric": "rgb"}
        writer.write(smear(), subifds=1, resolution=(1e4 / 0.19, 1e4 / 0.19), resolutionunit=3, **options)
        writer.write(cv2.resize(smear(), (450, 450), interpolation=cv2.INTER_AREA), subfiletype=1, **options)
    return Validate("v").process(InputImage("a", path), None)


GROUND = np.array([200, 201, 202], np.uint8)


def test_native_pixels_are_the_files(slide) -> None:
    reader = open_reader(slide, "plain")
    read = reader.read((100, 50, 700, 450), (600, 400), GROUND)
    assert np.abs(read.astype(int) - smear()[50:450, 100:700]).mean() < 3
    reader.close()


@pytest.mark.skipif(not dali_installed(), reason="DALI is an extra; the development environment has it")
def test_dali_agrees_within_two_grey_levels(slide) -> None:
    plain, dali = open_reader(slide, "plain"), open_reader(slide, "dali")
    for box, size in [((0, 0, 900, 900), (900, 900)), ((33, 77, 600, 800), (301, 407))]:
        a, b = plain.read(box, size, GROUND), dali.read(box, size, GROUND)
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 2


def test_outside_is_background(slide) -> None:
    reader = open_reader(slide, "plain")
    read = reader.read((-100, -100, 100, 100), (200, 200), GROUND)
    assert (read[:100] == GROUND).all()
    assert (read[:, :100] == GROUND).all()
    assert not (read[100:, 100:] == GROUND).all()
    assert (reader.read((2000, 2000, 2100, 2100), (10, 10), GROUND) == GROUND).all()


def test_shrinking_averages_and_takes_the_coarser_level(slide) -> None:
    reader = open_reader(slide, "plain")
    read = reader.read((0, 0, 900, 900), (225, 225), GROUND)
    expected = cv2.resize(smear(), (225, 225), interpolation=cv2.INTER_AREA)
    assert np.abs(read.astype(int) - expected.astype(int)).mean() < 2.5
    assert reader._choose(4.0)[0] == 1
    assert reader._choose(1.9)[0] == 0


def test_a_broken_stream_is_a_typed_error() -> None:
    for engine in ("plain", "auto"):
        with pytest.raises(InputError) as caught:
            jpeg_decoder(engine)(b"\xff\xd8 nothing of the kind \xff\xd9")
        assert caught.value.code == "unreadable"


def test_a_damaged_tile_is_a_typed_error(slide, tmp_path: Path) -> None:
    data = bytearray(slide.path.read_bytes())
    with tifffile.TiffFile(slide.path) as file:
        start = file.pages.first.dataoffsets[5]
        data[start : start + 200] = bytes(200)
    slide.path.write_bytes(bytes(data))
    reader = open_reader(slide, "plain")
    with pytest.raises(InputError):
        reader.read((0, 0, 900, 900), (900, 900), GROUND)
