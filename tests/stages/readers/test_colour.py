"""What a file says about its colours is honoured on every path as an independent reader does (PIL), or refused."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from hema_stages.readers import open_reader
from hema_stages.readers.jpeg import dali_installed
from hema_stages.readers.png_chunks import PNG
from hema_stages.validate import Validate
from PIL import Image, ImageOps

from hema_stream.core.errors import InputError
from hema_stream.core.slide import InputImage

GROUND = np.full(3, 240, np.uint8)
ENGINES = ["plain", pytest.param("dali", marks=pytest.mark.skipif(not dali_installed(), reason="extra dali"))]
LAYOUTS = {"strips": {"rowsperstrip": 50}, "tiles": {"tile": (128, 128)}}
layouts = pytest.mark.parametrize("layout", LAYOUTS)


def read(path, engine="plain"):
    slide = Validate("validate").process(InputImage("x", path), None)
    reader = open_reader(slide, engine)
    try:
        return reader.read((0, 0, slide.width, slide.height), (slide.width, slide.height), GROUND)
    finally:
        reader.close()


def independent(path):
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def code_of(path):
    with pytest.raises(InputError) as caught:
        read(path)
    return caught.value.code


def furthest(one, other):
    assert one.shape == other.shape
    return np.abs(one.astype(int) - other).max()


@layouts
@pytest.mark.parametrize("codec", [None, "lzw", "deflate", "packbits", "zstd", "lzma", "jpeg"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("predictor", [False, True])
def test_codecs_and_layouts(tmp_path, picture, layout, codec, order, predictor):
    if predictor and codec not in ("lzw", "deflate", "zstd", "lzma"):
        pytest.skip("libtiff knows no predictor there")
    path = tmp_path / "a.tif"
    options = {"compression": codec, "byteorder": order, "predictor": predictor, **LAYOUTS[layout]}
    tifffile.imwrite(path, picture, photometric="rgb", **options)
    assert furthest(read(path), independent(path)) <= (2 if codec == "jpeg" else 0)


@layouts
@pytest.mark.parametrize("codec", [None, "lzw", "deflate"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_stored_ycbcr(tmp_path, picture, layout, codec, planes):
    stored = np.asarray(Image.fromarray(picture).convert("YCbCr"))
    path = tmp_path / "a.tif"
    pixels = np.moveaxis(stored, -1, 0) if planes == "separate" else stored
    tifffile.imwrite(path, pixels, photometric="ycbcr", planarconfig=planes, compression=codec, **LAYOUTS[layout])
    assert furthest(read(path), picture) <= 3
    if (planes, codec) != ("separate", None):  # which PIL does not read
        assert furthest(read(path), independent(path)) <= 3


@pytest.mark.parametrize("subsampling", [(2, 2), (2, 1), (1, 1)])
@layouts
def test_ycbcr_in_jpeg(tmp_path, picture, layout, subsampling):
    path = tmp_path / "a.tif"
    rows = {"rowsperstrip": 64} if layout == "strips" else {"tile": (128, 128)}
    tifffile.imwrite(path, picture, photometric="rgb", compression="jpeg", subsampling=subsampling, **rows)
    assert furthest(read(path), independent(path)) <= 2


@pytest.mark.parametrize(
    ("tag", "value"), [(530, (2, 2)), (529, (2126, 10_000, 7152, 10_000, 722, 10_000)), (532, (16, 1, 235, 1) * 3)]
)
def test_ycbcr_of_another_kind_is_refused(tmp_path, picture, tag, value):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.asarray(Image.fromarray(picture).convert("YCbCr")), photometric="ycbcr")
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages.first.tags
        if tag in tags:
            tags[tag].overwrite(value)
        else:
            tags["Software"].overwrite("x")
    if tag == 529:
        kind = {"extratags": [(529, 5, 3, value, True)]}
        tifffile.imwrite(path, picture, photometric="ycbcr", **kind)
    assert code_of(path) == "wrong_color"


@layouts
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_tiles_and_strips(tmp_path, picture, layout, orientation):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, picture, photometric="rgb", extratags=[(274, 3, 1, orientation, True)], metadata=None, **LAYOUTS[layout]
    )
    assert np.array_equal(read(path), independent(path))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_parts_and_levels_of_a_turned_pyramid(tmp_path, write_pyramid, slide_of, picture, orientation):
    path = write_pyramid(picture, compression="lzw", compressionargs={}, extratags=[(274, 3, 1, orientation, True)])
    upright = ImageOps.exif_transpose(_turned(picture, orientation))
    slide, reader = slide_of(path), open_reader(slide_of(path), "plain")
    assert (slide.width, slide.height) == upright.size
    part = reader.read((100, 30, 400, 230), (300, 200), GROUND)
    assert np.array_equal(part, np.asarray(upright)[30:230, 100:400])
    small = reader.read((0, 0, slide.width, slide.height), (slide.width // 4, slide.height // 4), GROUND)
    shrunk = np.asarray(upright.resize((slide.width // 4, slide.height // 4), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - shrunk).mean() < 3


def _turned(pixels, orientation):
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    return image


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_jpeg_whatever_decodes_it(tmp_path, picture, engine, orientation):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(path, exif=exif, quality=95)
    assert furthest(read(path, engine), independent(path)) <= 2


def test_orientation_behind_the_pixels_of_a_png(tmp_path, picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    path = tmp_path / "a.png"
    whole = buffer.getvalue()
    path.write_bytes(whole[:-12] + chunk + whole[-12:])
    assert np.array_equal(read(path), independent(path))


def transparent(picture):
    alpha = np.full(picture.shape[:2], 255, np.uint8)
    alpha[:, :200], alpha[:, 200:300] = 0, 100
    return alpha


def seen(picture):
    """What every reader gives: white where nothing was ever seen, the colours elsewhere."""
    return np.where(transparent(picture)[..., None] == 0, 255, picture)


def test_alpha_of_a_png(tmp_path, picture):
    path = tmp_path / "a.png"
    stored = np.dstack([picture, transparent(picture)])
    stored[:, :200, :3] = 0
    Image.fromarray(stored).save(path)
    assert np.array_equal(read(path), seen(picture))


@layouts
def test_alpha_of_a_tiff(tmp_path, picture, layout):
    stored = np.dstack([picture, transparent(picture)])
    stored[:, :200, :3] = 0
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["unassalpha"], **LAYOUTS[layout])
    assert np.array_equal(read(path), seen(picture))


@layouts
def test_colours_that_were_multiplied_with_alpha(tmp_path, picture, layout):
    alpha = transparent(picture)
    stored = np.dstack([(picture.astype(int) * alpha[..., None] // 255).astype(np.uint8), alpha])
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["assocalpha"], **LAYOUTS[layout])
    assert furthest(read(path), seen(picture)) <= 3


def test_a_fourth_channel_that_is_no_alpha_hides_nothing(tmp_path, picture):
    path = tmp_path / "a.tif"
    stored = np.dstack([picture, np.zeros(picture.shape[:2], np.uint8)])
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["unspecified"])
    assert np.array_equal(read(path), picture)


def test_transparent_colour_of_a_png(tmp_path, picture):
    stored = picture.copy()
    stored[:, :200] = (1, 2, 3)
    path = tmp_path / "a.png"
    Image.fromarray(stored).save(path, transparency=(1, 2, 3))
    assert (read(path)[:, :200] == 255).all()


@pytest.mark.parametrize("codec", ["lerc", "jpegxr"])
def test_codecs_that_no_other_reader_confirms_are_refused(tmp_path, picture, codec):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture, photometric="rgb", compression=codec)
    assert code_of(path) == "unsupported_format"


def test_jpeg_with_alpha_or_in_planes_is_refused(tmp_path, picture):
    path = tmp_path / "a.tif"
    stored = np.moveaxis(picture, -1, 0)
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig="separate", compression="jpeg", tile=(128, 128))
    assert code_of(path) == "unsupported_format"
    options = {"shape": (128, 128, 4), "dtype": "uint8", "tile": (128, 128), "extrasamples": ["unassalpha"]}
    tifffile.imwrite(path, iter([b"four components"]), photometric="rgb", compression="jpeg", **options)
    assert code_of(path) == "unsupported_format"


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_grey_is_refused_whatever_its_zero_means(tmp_path, picture, photometric):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture[..., 0], photometric=photometric)
    assert code_of(path) == "wrong_color"


@layouts
@pytest.mark.parametrize("codec", ["lzw", "deflate", "lzma", None])
def test_a_piece_of_too_few_bytes_is_damaged(tmp_path, picture, layout, codec):
    """libtiff and tifffile fill the rest with zeros, which look like pixels."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture, photometric="rgb", compression=codec, **LAYOUTS[layout])
    with tifffile.TiffFile(path, mode="r+") as file:
        counts = list(file.pages.first.databytecounts)
        counts[0] //= 2
        file.pages.first.tags[{"strips": 279, "tiles": 325}[layout]].overwrite(counts)
    assert code_of(path) == "unreadable"


def test_signature_of_png_is_what_png_starts_with(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
