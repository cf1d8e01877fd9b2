"""Pictures and slides made for the tests of readers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hema_stages.readers.probe import probe

from hema_stream.core.slide import Slide


@pytest.fixture(scope="session")
def picture():
    """(700, 900, 3) uint8: dark discs on pale ground."""
    rng = np.random.default_rng(7)
    pixels = np.full((700, 900, 3), (235, 225, 228), np.uint8)
    for _ in range(120):
        centre = (int(rng.integers(0, 900)), int(rng.integers(0, 700)))
        cv2.circle(pixels, centre, 28, tuple(int(c) for c in rng.integers(90, 200, 3)), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(pixels, (0, 0), 1.2)


@pytest.fixture
def write_pyramid(tmp_path):
    """Write a tiled pyramid with levels 1, 2, 4; returns its path."""

    def write(pixels, name="slide.tif", levels=(1, 2, 4), tile=(128, 128), **options):
        path = tmp_path / name
        options = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 90}, **options}
        shapes = [cv2.resize(pixels, None, fx=1 / n, fy=1 / n, interpolation=cv2.INTER_AREA) for n in levels]
        with tifffile.TiffWriter(path) as writer:
            for number, level in enumerate(shapes):
                last = {"subifds": len(levels) - 1} if number == 0 else {"subfiletype": 1}
                writer.write(level, tile=tile, **last, **options)
        return path

    return write


@pytest.fixture
def slide_of():
    """Describe a file as validate would, without its limits."""

    def describe(path: Path) -> Slide:
        found = probe(path)
        top = found.levels[0]
        return Slide(
            "s", path, top.width, top.height, found.mpp, None, found.levels, found.reader, orientation=found.orientation
        )

    return describe
