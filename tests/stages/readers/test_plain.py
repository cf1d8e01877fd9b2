"""Plain images, decoded whole."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hema_stages.readers import open_reader
from hema_stages.readers.jpeg import PlainDecoder, dali_installed
from hema_stages.readers.plain import decode_whole, turned
from PIL import Image, ImageOps

from hema_stream.core.errors import InputError
from hema_stream.core.slide import Level, Slide

GROUND = np.full(3, 240, np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_is_what_pil_does(picture, orientation):
    image = Image.fromarray(picture)
    image.getexif()[0x0112] = orientation
    assert np.array_equal(turned(picture, orientation), np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_orientation_is_applied_in_every_format(tmp_path, slide_of, picture, name, orientation):
    path = tmp_path / name
    if name == "a.tif":
        tifffile.imwrite(path, picture, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(picture).save(path, exif=exif, quality=95)
    slide = slide_of(path)
    expected = turned(picture, orientation)
    assert (slide.height, slide.width) == expected.shape[:2]
    pixels = open_reader(slide, "plain").read((0, 0, slide.width, slide.height), (slide.width, slide.height), GROUND)
    assert np.abs(pixels.astype(int) - expected).mean() < (2 if name == "a.jpg" else 1e-9)


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "lzw"}, {"compression": "deflate", "predictor": True}, {"planarconfig": "separate"}],
    ids=str,
)
def test_plain_tiff(tmp_path, slide_of, picture, options):
    path = tmp_path / "a.tif"
    pixels = np.moveaxis(picture, -1, 0) if "planarconfig" in options else picture
    tifffile.imwrite(path, pixels, photometric="rgb", rowsperstrip=64, **options)
    slide = slide_of(path)
    assert (slide.reader, slide.width, slide.height) == ("plain", 900, 700)
    assert np.array_equal(decode_whole(path, PlainDecoder()), picture)


@pytest.mark.skipif(not dali_installed(), reason="DALI is not installed (extra dali)")
def test_engines_agree_on_a_whole_jpeg(tmp_path, slide_of, picture):
    path = tmp_path / "a.jpg"
    Image.fromarray(picture).save(path, quality=88)
    read = [open_reader(slide_of(path), e).read((0, 0, 900, 700), (900, 700), GROUND) for e in ("plain", "dali")]
    assert np.abs(read[0].astype(int) - read[1]).max() <= 2


def test_decoded_pixels_cannot_be_changed(tmp_path, slide_of, picture):
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    reader = open_reader(slide_of(path), "plain")
    assert not reader._source.region(0, 0, 0, 900, 700).flags.writeable
    reader.read((0, 0, 900, 700), (900, 700), GROUND)[:] = 0
    assert np.array_equal(reader.read((0, 0, 900, 700), (900, 700), GROUND), picture)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_cut_short(tmp_path, picture, name, share):
    path = tmp_path / name
    Image.fromarray(picture).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError) as caught:
        decode_whole(path, PlainDecoder())
    assert caught.value.code == "truncated"


def test_jpeg_without_its_last_lines_but_with_an_end(tmp_path, picture):
    path = tmp_path / "a.jpg"
    Image.fromarray(picture).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    with pytest.raises(InputError) as caught:
        decode_whole(path, PlainDecoder())
    assert caught.value.code == "truncated"


def test_damaged_in_the_middle(tmp_path, picture):
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        decode_whole(path, PlainDecoder())
    assert caught.value.code == "unreadable"


def test_file_that_has_gone(tmp_path):
    slide = Slide("s", tmp_path / "gone.png", 10, 10, None, None, (Level(10, 10, 1.0),), "plain")
    with pytest.raises(InputError, match="gone"):
        open_reader(slide, "plain")
