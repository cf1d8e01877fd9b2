"""Scales that files tell, and those that are not to be believed."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hema_stages.readers.probe import probe
from hema_stages.readers.scale import believable, openslide_scale
from PIL import Image

PIXELS = np.zeros((80, 96, 3), np.uint8)


@pytest.mark.parametrize(
    ("resolution", "unit", "mpp"),
    [
        ((40_000, 40_000), "CENTIMETER", 0.25),
        ((254_000, 254_000), "INCH", 0.1),
        ((72, 72), "INCH", None),
        ((300, 300), "INCH", None),
        ((1, 1), "NONE", None),
        ((40_000, 20_000), "CENTIMETER", None),
    ],
)
@pytest.mark.parametrize("options", [{}, {"tile": (64, 64)}], ids=["plain", "tiled"])
def test_resolution_tags(tmp_path, resolution, unit, mpp, options):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", resolution=resolution, resolutionunit=unit, **options)
    assert probe(path).mpp == (None if mpp is None else pytest.approx(mpp))


@pytest.mark.parametrize(
    ("size", "unit", "mpp"),
    [(0.23, "µm", 0.23), (230, "nm", 0.23), (0.00023, "mm", 0.23), (5, "µm", None), (1, "pixel", None)],
)
def test_ome_xml(tmp_path, size, unit, mpp):
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "YXS", "PhysicalSizeX": size, "PhysicalSizeXUnit": unit}
    metadata |= {"PhysicalSizeY": size, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(path, PIXELS, photometric="rgb", tile=(64, 64), metadata=metadata)
    assert probe(path).mpp == (None if mpp is None else pytest.approx(mpp))


def test_imagej_unit(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, imagej=True, photometric="rgb", resolution=(5, 5), metadata={"unit": "micron"})
    assert probe(path).mpp == pytest.approx(0.2)


def test_png_physical_pixels(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path, dpi=(25_400 / 0.14, 25_400 / 0.14))
    assert probe(path).mpp == pytest.approx(0.14, rel=1e-4)
    Image.fromarray(PIXELS).save(path, dpi=(96, 96))
    assert probe(path).mpp is None


def test_jpeg_density_says_nothing(tmp_path):
    path = tmp_path / "a.jpg"
    for density in (72, 96, 25_400):
        Image.fromarray(PIXELS).save(path, dpi=(density, density))
        assert probe(path).mpp is None


def test_openslide_properties():
    assert openslide_scale({"openslide.mpp-x": "0.499", "openslide.mpp-y": "0.5"}) == 0.499
    assert openslide_scale({"openslide.mpp-x": "0"}) is None
    assert openslide_scale({"openslide.mpp-x": "unknown"}) is None
    assert openslide_scale({}) is None


def test_what_a_microscope_can_have():
    assert believable(0.02) == 0.02
    assert believable(2.0) == 2.0
    assert believable(0.019) is None
    assert believable(2.1) is None
    assert believable(0.25, 0.26) == 0.25
    assert believable(0.25, 0.5) is None
