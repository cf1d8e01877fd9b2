"""The picture meant is known by the tags of its page; several pictures of one file are refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile
from hema_stages.readers import open_reader
from hema_stages.validate import Validate

from hema_stream.core.errors import InputError
from hema_stream.core.slide import InputImage

GROUND = np.full(3, 240, np.uint8)
REDUCED, MASK = 1, 4
TILES = {"tile": (128, 128)}


@pytest.fixture
def written(tmp_path):
    """Write pages of (pixels, options) into one file."""

    def write(*pages):
        path = tmp_path / "a.tif"
        with tifffile.TiffWriter(path) as writer:
            for pixels, options in pages:
                writer.write(pixels, **{"photometric": "rgb", "metadata": None, **options})
        return path

    return write


def opened(path):
    slide = Validate("validate").process(InputImage("x", path), None)
    reader = open_reader(slide, "plain")
    pixels = reader.read((0, 0, slide.width, slide.height), (slide.width, slide.height), GROUND)
    reader.close()
    return slide, pixels


def code_of(path):
    with pytest.raises(InputError) as caught:
        opened(path)
    assert caught.value.remedy
    return caught.value.code


def shrunk(picture, factor):
    return cv2.resize(picture, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("layout", [{}, TILES])
@pytest.mark.parametrize(
    "first",
    [
        pytest.param({"subfiletype": REDUCED}, id="reduced"),
        pytest.param({"extratags": [(255, 3, 1, 2, True)]}, id="reduced as of old"),
        pytest.param({"extratags": [(254, 4, 1, MASK, True)]}, id="mask"),
        pytest.param({"description": "Label of the slide"}, id="label"),
        pytest.param({"description": "scanner\nmacro 200x100"}, id="macro"),
        pytest.param({"extratags": [(285, 2, 0, "Thumbnail", True)]}, id="thumbnail"),
    ],
)
def test_what_accompanies_the_picture_is_not_it(written, picture, layout, first):
    _, pixels = opened(written((shrunk(picture, 4), first | layout), (picture, layout)))
    assert np.array_equal(pixels, picture)
    _, pixels = opened(written((picture, layout), (shrunk(picture, 4), first | layout)))
    assert np.array_equal(pixels, picture)


def test_the_picture_in_a_subifd_of_its_preview(written, picture):
    _, pixels = opened(written((shrunk(picture, 4), {"subfiletype": REDUCED, "subifds": 1}), (picture, TILES)))
    assert np.array_equal(pixels, picture)


def test_a_picture_alone_is_it_whatever_it_calls_itself(written, picture):
    assert np.array_equal(opened(written((picture, {"subfiletype": REDUCED})))[1], picture)
    assert np.array_equal(opened(written((picture, {"description": "Macro lens, x40"})))[1], picture)


def test_reduced_pages_of_its_shape_are_levels_and_others_are_not(written, picture):
    label = np.ascontiguousarray(picture[:300, :100])
    reduced = {"subfiletype": REDUCED, **TILES}
    slide, _ = opened(written((picture, TILES), (label, reduced), (shrunk(picture, 2), reduced)))
    assert [level.width for level in slide.levels] == [900, 450]


def test_unmarked_tiled_pages_that_get_smaller_are_levels(written, picture):
    slide, _ = opened(written((picture, TILES), (shrunk(picture, 2), TILES), (shrunk(picture, 4), TILES)))
    assert [level.width for level in slide.levels] == [900, 450, 225]


@pytest.mark.parametrize("layout", [{}, TILES])
@pytest.mark.parametrize("others", [1, 2])
def test_several_fields_are_refused(written, picture, layout, others):
    pages = [(picture[:: (-1) ** n], layout) for n in range(1 + others)]
    assert code_of(written(*pages)) == "several_pictures"


def test_fields_of_different_sizes_are_refused(written, picture):
    assert code_of(written((picture, {}), (picture[:500, :500], {}))) == "several_pictures"
    assert code_of(written((picture, TILES), (picture[:500, :500], TILES))) == "several_pictures"


@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif"])
def test_focal_planes_are_refused(tmp_path, picture, name):
    blank = np.full_like(picture, 230)
    axes = {"metadata": {"axes": "ZYXS"}} if "ome" in name else {"imagej": True}
    tifffile.imwrite(tmp_path / name, np.stack([blank, picture, blank]), photometric="rgb", **axes)
    assert code_of(tmp_path / name) == "several_pictures"


def test_planes_behind_one_page_are_refused(tmp_path, picture):
    stack = np.stack([picture, picture[::-1]])
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="rgb", truncate=True)
    assert code_of(tmp_path / "a.tif") == "several_pictures"
    tifffile.imwrite(tmp_path / "b.tif", stack, photometric="rgb", volumetric=True, tile=(1, 128, 128))
    assert code_of(tmp_path / "b.tif") in ("several_pictures", "wrong_color")


def test_channels_are_refused(tmp_path, picture):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.moveaxis(picture, -1, 0), photometric="minisblack", metadata={"axes": "CYX"})
    assert code_of(path) == "wrong_color"


def test_images_that_ome_names_label_and_macro_are_passed_over(tmp_path, picture):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path) as writer:
        for pixels, name in [
            (picture[:200, :100], "label image"),
            (picture, "slide"),
            (picture[:80, :90], "macro image"),
        ]:
            writer.write(pixels, photometric="rgb", metadata={"axes": "YXS", "Name": name})
    assert np.array_equal(opened(path)[1], picture)


def test_animated_png_is_refused(tmp_path, picture):
    from PIL import Image

    image = Image.fromarray(picture)
    image.save(tmp_path / "a.png", save_all=True, append_images=[image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)])
    assert code_of(tmp_path / "a.png") == "several_pictures"


def test_an_ome_file_opens_no_other_that_it_names(tmp_path, picture, monkeypatch):
    secret = tmp_path / "secret" / "b.ome.tif"
    secret.parent.mkdir()
    tifffile.imwrite(secret, picture, photometric="rgb", metadata={"axes": "YXS"})
    named = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="I">'
        '<Pixels DimensionOrder="XYCZT" ID="P" SizeC="3" SizeT="1" SizeX="900" SizeY="700" SizeZ="1" Type="uint8">'
        '<Channel ID="C" SamplesPerPixel="3"/><TiffData IFD="0"><UUID FileName="../secret/b.ome.tif">urn:uuid:x</UUID>'
        "</TiffData>"
        "</Pixels></Image></OME>"
    )
    path = tmp_path / "in" / "a.ome.tif"
    path.parent.mkdir()
    pixels = picture[::-1].copy()
    tifffile.imwrite(path, pixels, photometric="rgb", description=named, metadata=None, **TILES)
    seen = []
    real = tifffile.TiffFile.__init__
    monkeypatch.setattr(
        tifffile.TiffFile,
        "__init__",
        lambda self, file, **options: (seen.append(str(file)), real(self, file, **options))[1],
    )
    assert np.array_equal(opened(path)[1], pixels)
    assert set(seen) == {str(path)}
