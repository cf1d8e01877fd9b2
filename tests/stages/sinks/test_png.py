"""The PNG encoder, read back by two others."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
import pytest
from hema_stages.sinks.png import encode_png
from PIL import Image


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (61, 83)])
def test_pixels_come_back(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    encoded = encode_png(pixels)
    with Image.open(BytesIO(encoded)) as image:
        image.verify()
    assert np.array_equal(np.asarray(Image.open(BytesIO(encoded))), pixels)
    read = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(read[..., ::-1], pixels)


def test_a_view_is_encoded_as_it_looks() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(BytesIO(encode_png(pixels[::2, ::-1])))), pixels[::2, ::-1])


def test_a_smooth_picture_is_packed() -> None:
    smooth = np.linspace(0, 255, 200).astype(np.uint8)[:, None, None] * np.ones((1, 300, 3), np.uint8)
    assert len(encode_png(smooth)) < smooth.nbytes / 20


def test_three_channels_are_wanted() -> None:
    with pytest.raises(ValueError, match="4 channels"):
        encode_png(np.zeros((2, 2, 4), np.uint8))
