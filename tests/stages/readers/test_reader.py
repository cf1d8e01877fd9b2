"""Any box of a slide at any size, from whichever level is fine enough."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hema_stages.readers import Reader, reader

from hema_stream.core.slide import Level, Slide

GROUND = np.array((10, 200, 30), np.uint8)


class Levels:
    """Levels in memory that say which were read."""

    def __init__(self, *levels):
        self.levels, self.read = levels, []

    def region(self, level, x0, y0, x1, y1):
        self.read.append((level, (x1 - x0) * (y1 - y0)))
        part = self.levels[level][y0:y1, x0:x1]
        assert part.shape[:2] == (y1 - y0, x1 - x0), "a region lies within its level"
        return part

    def close(self):
        self.read.append("closed")


@pytest.fixture
def make(picture):
    def build(*downsamples):
        arrays = [cv2.resize(picture, None, fx=1 / d, fy=1 / d, interpolation=cv2.INTER_AREA) for d in downsamples]
        levels = tuple(Level(a.shape[1], a.shape[0], d) for a, d in zip(arrays, downsamples, strict=True))
        source = Levels(*arrays)
        return Reader(Slide("s", Path("s"), 900, 700, None, None, levels, "plain"), source), source

    return build


def test_same_scale_is_a_copy(make, picture):
    read, _ = make(1)
    out = read.read((100, 50, 400, 250), (300, 200), GROUND)
    assert np.array_equal(out, picture[50:250, 100:400])
    out[:] = 0
    assert picture[50:250, 100:400].any()


def test_box_off_by_a_fraction_is_not_resampled(make, picture):
    read, _ = make(1)
    out = read.read((100.3, 50.3, 400.9, 250.2), (300, 200), GROUND)
    assert np.array_equal(out, picture[50:250, 100:400])


def test_shrinking_averages_areas(make, picture):
    read, _ = make(1)
    out = read.read((0, 0, 900, 600), (300, 200), GROUND)
    means = picture[:600].reshape(200, 3, 300, 3, 3).mean(axis=(1, 3))
    assert np.abs(out - means).max() <= 0.51


@pytest.mark.parametrize(("size", "level"), [(900, 0), (500, 0), (450, 1), (300, 1), (225, 2), (20, 2)])
def test_takes_the_coarsest_level_that_is_fine_enough(make, size, level):
    read, source = make(1, 2, 4)
    read.read((0, 0, 900, 700), (size, round(size * 7 / 9)), GROUND)
    assert {number for number, _ in source.read} == {level}


@pytest.mark.parametrize(
    "box", [(-60, -40, 140, 160), (800, 600, 1000, 800), (-500, 0, -300, 200), (0, 900, 200, 1100)]
)
@pytest.mark.parametrize("size", [200, 100, 400])
def test_outside_has_the_background(make, picture, box, size):
    read, _ = make(1)
    whole = np.empty((3000, 3000, 3), np.uint8)
    whole[:] = GROUND
    whole[1000:1700, 1000:1900] = picture
    x0, y0, x1, y1 = (v + 1000 for v in box)
    expected = cv2.resize(whole[y0:y1, x0:x1], (size, size), interpolation=cv2.INTER_AREA)
    out = read.read(box, (size, size), GROUND)
    assert out.shape == (size, size, 3)
    if size <= 200:
        assert np.array_equal(out, expected)
    else:
        inner = cv2.resize(whole[y0 - 1 : y1 + 1, x0 - 1 : x1 + 1], (404, 404), interpolation=cv2.INTER_LINEAR)
        assert np.abs(out.astype(int) - inner[2:-2, 2:-2]).max() <= 2


def test_enlarging_keeps_the_exact_place():
    """Halving pixels at a fractional corner shifts a ramp by that fraction, not by a rounded one."""
    ramp = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], 100, axis=0).repeat(3, axis=2)
    slide = Slide("s", Path("s"), 100, 100, None, None, (Level(100, 100, 1.0),), "plain")
    out = Reader(slide, Levels(ramp)).read((20.4, 20, 40.4, 40), (80, 80), GROUND)
    centres = 20.4 + (np.arange(80) + 0.5) / 4 - 0.5
    assert np.abs(out[40, :, 0] - 2 * centres).max() <= 0.6


def test_view_of_a_large_level_is_put_together_in_bounded_parts(make, picture, monkeypatch):
    read, source = make(1)
    whole = read.read((0, 0, 900, 700), (90, 70), GROUND)
    source.read.clear()
    monkeypatch.setattr(reader, "MOST_PIXELS", 20_000)
    parts = read.read((0, 0, 900, 700), (90, 70), GROUND)
    assert len(source.read) > 20
    assert max(pixels for _, pixels in source.read) <= 20_000
    assert np.abs(parts.astype(int) - whole).mean() < 0.5


def test_close_closes_the_source(make):
    read, source = make(1)
    read.close()
    assert source.read == ["closed"]
