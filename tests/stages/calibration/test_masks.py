"""Measurements over masks that may be empty or full: an answer for both, and black surrounds count for nothing."""

from __future__ import annotations

import warnings
from dataclasses import fields
from pathlib import Path
from time import process_time

import cv2
import numpy as np
import pytest
from hema_stages.calibrate import Calibrate
from hema_stages.calibration.foreground import background_colour
from hema_stages.calibration.scale import estimate_mpp, inscribed_diameters
from hema_stages.calibration.surround import surround, without_surround
from hema_stages.validate import Validate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hema_stream.core.errors import InputError
from hema_stream.core.slide import InputImage

GROUND, CELL = (224, 230, 236), (200, 150, 160)


def film(side=400, cells=60, radius=18, seed=1, ground=GROUND):
    """(side, side, 3) uint8: round cells on pale ground."""
    rng = np.random.default_rng(seed)
    pixels = np.full((side, side, 3), ground, np.uint8)
    for x, y in rng.integers(0, side, (cells, 2)):
        cv2.circle(pixels, (int(x), int(y)), radius, CELL, -1, cv2.LINE_AA)
    return pixels


def framed(pixels, width):
    out = pixels.copy()
    out[:width] = out[-width:] = 0
    out[:, :width] = out[:, -width:] = 0
    return out


def through_an_eyepiece(pixels):
    height, width, _ = pixels.shape
    y, x = np.mgrid[:height, :width]
    out = pixels.copy()
    out[(x - width / 2) ** 2 + (y - height / 2) ** 2 > (min(height, width) / 2) ** 2] = 0
    return out


def calibrated(folder, pixels, mpp=None):
    """Validate and calibrate; every warning of NumPy's is an error."""
    path = Path(folder) / "a.png"
    Image.fromarray(pixels).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        slide = Validate("validate").process(InputImage("x", path, mpp), None)
        caps, _ = Calibrate("calibrate").process(slide, None)
    return caps.calibration


def finite(value):
    if isinstance(value, float | np.ndarray):
        return bool(np.isfinite(value).all())
    parts = [getattr(value, field.name) for field in fields(value)] if hasattr(value, "__dataclass_fields__") else []
    return all(map(finite, parts))


class TestSurround:
    def test_a_frame_and_what_lies_around_an_eyepiece(self):
        pixels = film()
        assert not surround(pixels).any()
        assert surround(framed(pixels, 3)).mean() == pytest.approx(1 - (394 - 6) ** 2 / 400**2, abs=0.01)
        assert 0.2 < surround(through_an_eyepiece(pixels)).mean() < 0.26

    def test_what_is_black_within_the_film_is_of_the_film(self):
        pixels = film()
        cv2.circle(pixels, (200, 200), 20, (10, 5, 15), -1)
        assert not surround(pixels).any()

    def test_the_film_is_left_as_it_is(self):
        pixels = film()
        shown = without_surround(framed(pixels, 3), np.array(GROUND, np.uint8))
        assert np.array_equal(shown[6:-6, 6:-6], pixels[6:-6, 6:-6])
        assert (shown[:3] == GROUND).all()

    @pytest.mark.parametrize("hurt", [lambda p: framed(p, 3), lambda p: framed(p, 12), through_an_eyepiece])
    def test_measurements_are_those_of_the_film(self, tmp_path, hurt):
        plain, found = (calibrated(tmp_path, pixels) for pixels in (film(800, 300), hurt(film(800, 300))))
        assert np.abs(found.background.astype(int) - plain.background).max() <= 1
        assert found.scale.mpp == pytest.approx(plain.scale.mpp, rel=0.05)
        assert found.stain.reason == plain.stain.reason
        assert found.focus < 3 * plain.focus

    def test_an_eyepiece_over_bare_ground_is_blank(self, tmp_path):
        with pytest.raises(InputError, match="blank"):
            calibrated(tmp_path, through_an_eyepiece(film(cells=0)))

    def test_all_black_is_blank(self, tmp_path):
        with pytest.raises(InputError, match="blank"):
            calibrated(tmp_path, np.zeros((200, 200, 3), np.uint8))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.sampled_from([0, 1, 5, 60, 2000]),
    radius=st.sampled_from([2, 9, 25, 300]),
    frame=st.sampled_from([0, 1, 3, 60, 190]),
    eyepiece=st.booleans(),
    noise=st.sampled_from([0, 3, 60]),
    ground=st.sampled_from([GROUND, (255, 255, 255), (30, 30, 30), (0, 0, 0), (120, 0, 0)]),
    mpp=st.sampled_from([None, 0.02, 0.25, 5.0]),
)
def test_whatever_a_picture_shows_it_is_measured_or_refused(
    tmp_path_factory, cells, radius, frame, eyepiece, noise, ground, mpp
):
    pixels = film(cells=cells, radius=radius, ground=ground)
    drawn = np.random.default_rng(2).normal(0, noise, pixels.shape) if noise else 0
    pixels = np.clip(pixels + drawn, 0, 255).astype(np.uint8)
    pixels = framed(pixels, frame) if frame else pixels
    pixels = through_an_eyepiece(pixels) if eyepiece else pixels
    found, refused = None, ""
    try:
        found = calibrated(tmp_path_factory.getbasetemp(), pixels, mpp)
    except InputError as error:
        refused = error.code
    assert refused in ("", "blank")
    assert found is None or (finite(found) and found.scale.mpp > 0)


class TestScale:
    def test_a_full_and_an_empty_picture_show_no_cells(self):
        assert len(inscribed_diameters(np.full((300, 300, 3), 90, np.uint8))) == 0
        assert background_colour(np.zeros((0, 3), np.uint8)).tolist() == [255, 255, 255]
        assert estimate_mpp([]) is None

    @pytest.mark.parametrize("radius", [12, 37, 110])
    def test_cells_of_any_size(self, radius):
        pixels = film(14 * radius, 0)
        for x in (3, 7, 11):
            for y in (3, 7, 11):
                cv2.circle(pixels, (x * radius, y * radius), radius, CELL, -1, cv2.LINE_AA)
        assert estimate_mpp([pixels]) == pytest.approx(7.5 / (2 * radius), rel=0.07)

    def test_time_is_that_of_the_pixels_whatever_the_size_of_what_is_in_them(self):
        """Windows that grew with their square took a minute for a crowded slide."""

        def seconds(radius):
            pixels = film(1280, 1, radius)
            start = process_time()
            inscribed_diameters(pixels)
            return process_time() - start

        small, large = (min(seconds(radius) for _ in range(3)) for radius in (40, 500))
        assert large < 5 * small + 0.2

    def test_many_specks_are_counted_in_bounded_memory(self, monkeypatch):
        module = "hema_stages.calibration.scale.inscribed_diameters"
        monkeypatch.setattr(module, lambda _: np.random.default_rng(1).uniform(9, 11, 200_000))
        assert estimate_mpp([np.zeros((1, 1, 3), np.uint8)]) == pytest.approx(0.75, rel=0.02)
