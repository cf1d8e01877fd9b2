"""Files with bytes changed: pixels that an independent reader sees too, or a refusal by code; ``benchmarks/mutated.py``
does the same ten thousand times."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hema_stages.readers import open_reader
from hema_stages.validate import Validate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from hema_stream.core.errors import InputCode, InputError
from hema_stream.core.slide import InputImage

GROUND = np.full(3, 240, np.uint8)
KINDS = ("a.jpg", "a.png", "strips.tif", "tiles.tif", "jpeg.tif")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, picture):
    """A whole file of each kind, 112 x 96 px."""
    folder = tmp_path_factory.mktemp("whole")
    pixels = np.ascontiguousarray(picture[:96, :112])
    for name in KINDS[:2]:
        Image.fromarray(pixels).save(folder / name)
    options = {"photometric": "rgb", "metadata": None}
    tifffile.imwrite(folder / "strips.tif", pixels, compression="lzw", predictor=True, **options)
    tifffile.imwrite(folder / "tiles.tif", pixels, compression="deflate", tile=(64, 64), **options)
    tifffile.imwrite(folder / "jpeg.tif", pixels, compression="jpeg", tile=(64, 64), **options)
    return {name: (folder / name).read_bytes() for name in KINDS}


def ours(path):
    slide = Validate("validate").process(InputImage("x", path), None)
    reader = open_reader(slide, "plain")
    try:
        return reader.read((0, 0, slide.width, slide.height), (slide.width, slide.height), GROUND)
    finally:
        reader.close()


def independent(path):
    """What PIL sees, where it sees a whole picture in colours."""
    try:
        with Image.open(path) as image:
            colours = image.mode in ("RGB", "YCbCr")
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB")) if colours else None
    except Exception:  # whatever it says of a damaged file
        return None


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(KINDS),
    changes=st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.one_of(st.none(), st.floats(0, 1)),
)
def test_pixels_that_another_reader_sees_or_a_refusal(whole, tmp_path_factory, kind, changes, cut):
    data = bytearray(whole[kind])
    for place, in_the_head, value in changes:
        data[int(place * (min(len(data), 400) if in_the_head else len(data) - 1))] = value
    path = tmp_path_factory.getbasetemp() / f"mutated-{kind}"
    path.write_bytes(data if cut is None else data[: int(cut * len(data))])
    pixels, code = None, None
    try:
        pixels = ours(path)
    except InputError as error:
        code = error.code
    assert code is None or code in set(InputCode)
    seen = independent(path)
    if pixels is not None and seen is not None and seen.shape == pixels.shape:
        assert np.abs(seen.astype(int) - pixels).max() <= 3
