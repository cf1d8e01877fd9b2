"""From bytes to pixels: what is read, and what is refused before it is decoded."""

from __future__ import annotations

import numpy as np
import pytest
import simplejpeg
from hema_stages.fields.develop import Develop

from hema_stream.core.errors import InputError
from hema_stream.core.field import Field, Scan
from hema_stream.flow import Caps

SCAN = Scan(96, 64, 0.25, (0.0, 0.0, 99.0, 99.0))


def developed(data: bytes, encoding: str = "jpeg") -> object:
    stage = Develop("develop")
    caps, state = stage.negotiate(Caps("image/field", slide_id="s", scan=SCAN))
    assert (caps.media, caps.slide_id) == ("image/shot", "s")
    return stage.process(Field(3, 1.0, 2.0, encoding, data), state)


def picture(width: int = 96, height: int = 64) -> np.ndarray:
    pixels = np.full((height, width, 3), 230, np.uint8)
    pixels[: height // 2, : width // 2] = (170, 90, 120)
    return pixels


def test_jpeg_and_raw_give_pixels_and_the_share_of_tissue() -> None:
    jpeg = simplejpeg.encode_jpeg(picture(), quality=95)
    for data, encoding, off in ((picture().tobytes(), "raw", 0), (jpeg, "jpeg", 30)):
        shot = developed(data, encoding)
        assert (shot.index, shot.x, shot.y) == (3, 1.0, 2.0)
        assert np.abs(shot.pixels.astype(int) - picture()).max() <= off
        assert shot.tissue == pytest.approx(0.25, abs=0.02)


def test_bare_ground_has_no_tissue() -> None:
    assert developed(np.full((64, 96, 3), 231, np.uint8).tobytes(), "raw").tissue == 0.0


@pytest.mark.parametrize(
    ("data", "encoding", "what"),
    [
        (simplejpeg.encode_jpeg(picture(96, 72), quality=90), "jpeg", "declares 96 x 72"),
        (simplejpeg.encode_jpeg(picture(), quality=90)[:-200], "jpeg", "cannot be decoded"),
        (b"\xff\xd8\xff", "jpeg", "cannot be decoded"),
        (b"", "jpeg", "cannot be decoded"),
        (b"GIF89a", "jpeg", "cannot be decoded"),
        (b"\x00" * 17, "raw", "17 bytes"),
    ],
)
def test_what_is_not_what_was_declared_is_refused(data: bytes, encoding: str, what: str) -> None:
    with pytest.raises(InputError, match=what) as caught:
        developed(data, encoding)
    assert caught.value.place == "field 3"
    assert caught.value.code == "unreadable"


def test_a_bomb_is_refused_by_what_it_declares() -> None:
    stream = bytearray(simplejpeg.encode_jpeg(picture(), quality=90))
    at = stream.index(b"\xff\xc0")
    stream[at + 5 : at + 9] = (65500).to_bytes(2) * 2
    with pytest.raises(InputError, match="declares 65500 x 65500"):
        developed(bytes(stream))
