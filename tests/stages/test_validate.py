"""Every bad input gets its code, from its header where that is enough."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hema_stages.validate import Validate
from PIL import Image

from hema_stream.core.errors import InputError
from hema_stream.core.slide import InputImage, ScaleSource

RNG = np.random.default_rng(1)
NOISE = RNG.integers(0, 255, (200, 240, 3), np.uint8)


def validate(path: Path, mpp: float | None = None):
    return Validate("validate").process(InputImage("x", path, mpp), None)


def code_of(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        validate(path)
    assert str(path) in str(caught.value)
    assert caught.value.remedy
    return str(caught.value.code)


def png(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def huge_png(path: Path) -> Path:
    """A header that declares 100,000 x 100,000 RGB, and nothing behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    return path


def test_a_good_field_passes_with_warnings(tmp_path: Path) -> None:
    slide = validate(png(tmp_path / "a b ü.png", NOISE))
    assert (slide.width, slide.height, slide.reader) == (240, 200, "plain")
    assert set(slide.warnings) == {"small", "no_scale"}


def test_scale_comes_from_png_and_the_caller_wins(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", NOISE, dpi=(25_400 / 0.139, 25_400 / 0.139))
    told = validate(path)
    assert told.mpp == pytest.approx(0.139, rel=1e-3)
    assert told.scale_source is ScaleSource.METADATA
    assert validate(path, 0.2).scale_source is ScaleSource.GIVEN


@pytest.mark.parametrize("mpp", [40.0, 250.0, 1e-6, float("nan"), float("inf"), -0.2])
def test_a_scale_that_can_be_none_is_refused(tmp_path: Path, mpp: float) -> None:
    with pytest.raises(InputError) as caught:
        validate(png(tmp_path / "a.png", NOISE), mpp)
    assert caught.value.code == "bad_scale"


def test_a_printers_density_is_no_scale(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(NOISE).save(path, dpi=(72, 72))
    assert validate(path).mpp is None


def test_alpha_is_dropped_with_a_warning(tmp_path: Path) -> None:
    rgba = np.dstack([NOISE, np.full(NOISE.shape[:2], 255, np.uint8)])
    assert "alpha_dropped" in validate(png(tmp_path / "a.png", rgba)).warnings


def test_missing(tmp_path: Path) -> None:
    assert code_of(tmp_path / "none.png") == "not_found"


def test_a_text_named_png(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    assert code_of(tmp_path / "a.png") == "unreadable"


def test_something_else(tmp_path: Path) -> None:
    (tmp_path / "a.doc").write_text("hello")
    assert code_of(tmp_path / "a.doc") == "unsupported_format"


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_cut_short(tmp_path: Path, kind: str) -> None:
    whole = tmp_path / f"whole.{kind}"
    Image.fromarray(NOISE).save(whole)
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert code_of(cut) == "truncated"


def test_too_small(tmp_path: Path) -> None:
    assert code_of(png(tmp_path / "a.png", NOISE[:10, :10])) == "too_small"


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    assert code_of(huge_png(tmp_path / "a.png")) == "bomb"


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "1"])
def test_colours_that_are_not_rgb(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(RNG.integers(0, 65_535, (200, 200)).astype(np.uint16))
    elif mode == "P":
        image = Image.fromarray(NOISE).quantize(16)
    else:
        image = Image.fromarray(NOISE).convert(mode)
    image.save(tmp_path / "a.png")
    assert code_of(tmp_path / "a.png") == "wrong_color"


def test_sixteen_bits_a_channel(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", NOISE.astype(np.uint16) * 256, photometric="rgb")
    assert code_of(tmp_path / "a.tif") == "wrong_color"


def test_blank(tmp_path: Path) -> None:
    assert code_of(png(tmp_path / "a.png", np.full((200, 200, 3), 210, np.uint8))) == "blank"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = png(tmp_path / "a.png", NOISE)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert code_of(path) == "no_permission"


def pyramid(path: Path, sizes: list[tuple[int, int]]) -> Path:
    with tifffile.TiffWriter(path) as writer:
        for number, (width, height) in enumerate(sizes):
            pixels = RNG.integers(0, 255, (height, width, 3), np.uint8)
            options = {"tile": (128, 128), "compression": "jpeg", "photometric": "rgb"}
            if number:
                writer.write(pixels, subfiletype=1, **options)
            else:
                writer.write(
                    pixels, subifds=len(sizes) - 1, resolution=(1e4 / 0.139, 1e4 / 0.139), resolutionunit=3, **options
                )
    return path


def test_a_pyramid_is_read_by_tiles_with_its_scale(tmp_path: Path) -> None:
    slide = validate(pyramid(tmp_path / "a.tif", [(1200, 1000), (600, 500)]))
    assert slide.reader == "tiled"
    assert [level.width for level in slide.levels] == [1200, 600]
    assert slide.mpp == pytest.approx(0.139, rel=1e-3)


def test_levels_that_do_not_belong_together(tmp_path: Path) -> None:
    from hema_stages.readers.probe import Probe
    from hema_stages.validate import check_levels

    from hema_stream.core.slide import Level

    levels = (Level(1200, 1000, 1.0), Level(600, 200, 2.0))
    with pytest.raises(InputError) as caught:
        check_levels(Probe("tiled", levels, None, False, (128, 128)), tmp_path / "a.tif")
    assert caught.value.code == "bad_levels"


class TestPlainPictures:
    def test_cut_png_and_jpeg_near_their_end(self, tmp_path: Path) -> None:
        for kind in ("jpg", "png"):
            path = tmp_path / f"a.{kind}"
            Image.fromarray(NOISE).save(path)
            path.write_bytes(path.read_bytes()[:-400])
            assert code_of(path) == "truncated"

    def test_cut_tiff(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, NOISE, photometric="rgb")
        path.write_bytes(path.read_bytes()[:-400])
        assert code_of(path) == "truncated"

    def test_text_named_as_a_slide(self, tmp_path: Path) -> None:
        for name in ("a.svs", "a.tif", "a.jpg"):
            (tmp_path / name).write_text("hello")
            assert code_of(tmp_path / name) == "unreadable"

    def test_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(b"")
        assert code_of(tmp_path / "a.png") == "unreadable"

    def test_header_alone(self, tmp_path: Path) -> None:
        for start, name in [
            (b"\x89PNG\r\n\x1a\n", "a.png"),
            (b"\xff\xd8\xff\xe0", "a.jpg"),
            (b"II*\0\x08\0\0\0", "a.tif"),
        ]:
            (tmp_path / name).write_bytes(start)
            assert code_of(tmp_path / name) == "unreadable"

    def test_folder(self, tmp_path: Path) -> None:
        assert code_of(tmp_path) == "unsupported_format"

    def test_nothing_of_a_bomb_is_decoded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hema_stages.validate.open_reader", lambda *_: pytest.fail("was opened"))
        assert code_of(huge_png(tmp_path / "a.png")) == "bomb"

    def test_bomb_by_bytes(self, tmp_path: Path) -> None:
        path = png(tmp_path / "a.png", NOISE)
        with pytest.raises(InputError) as caught:
            Validate("validate", max_bytes="100KiB").process(InputImage("x", path), None)
        assert caught.value.code == "bomb"

    def test_damaged_exif(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jpg"
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(NOISE).save(path, exif=exif)
        whole = path.read_bytes()
        start = whole.index(b"Exif")
        for place in range(start, start + 30):
            for value in (0, 1, 2, 255):
                path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
                try:
                    validate(path)
                except InputError as error:
                    told = error.code
                    assert told == "unreadable"

    def test_jpeg_bomb(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jpg"
        Image.fromarray(NOISE).save(path)
        data = bytearray(path.read_bytes())
        place = data.index(b"\xff\xc0")
        data[place + 5 : place + 9] = struct.pack(">HH", 65_500, 65_500)
        path.write_bytes(data)
        assert code_of(path) == "bomb"

    def test_pieces_that_are_declared_larger_than_any_picture(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        planes = np.moveaxis(NOISE, -1, 0)
        tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", tile=(256, 256), compression="lzw")
        with tifffile.TiffFile(path, mode="r+") as file:
            for name in ("TileWidth", "TileLength"):
                file.pages.first.tags[name].overwrite(60_000)
        assert code_of(path) == "bomb"

    def test_sixteen_bit_png(self, tmp_path: Path) -> None:
        import imagecodecs

        path = tmp_path / "a.png"
        path.write_bytes(imagecodecs.png_encode(NOISE.astype(np.uint16) * 257))
        assert code_of(path) == "wrong_color"

    @pytest.mark.parametrize("mode", ["CMYK", "L"])
    def test_jpeg_of_other_colours(self, tmp_path: Path, mode: str) -> None:
        Image.fromarray(NOISE).convert(mode).save(tmp_path / "a.jpg")
        assert code_of(tmp_path / "a.jpg") == "wrong_color"

    def test_grey_and_float_tiff(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", NOISE[..., 0])
        assert code_of(tmp_path / "a.tif") == "wrong_color"
        tifffile.imwrite(tmp_path / "b.tif", NOISE.astype(np.float32), photometric="rgb")
        assert code_of(tmp_path / "b.tif") == "wrong_color"

    def test_alpha_in_every_format_that_has_it(self, tmp_path: Path) -> None:
        rgba = np.dstack([NOISE, np.full(NOISE.shape[:2], 99, np.uint8)])
        for name, options in [("a.tif", {}), ("b.tif", {"tile": (128, 128)})]:
            tifffile.imwrite(tmp_path / name, rgba, photometric="rgb", extrasamples=["unassalpha"], **options)
            assert "alpha_dropped" in validate(tmp_path / name).warnings

    def test_sensor_noise_and_jpeg_grain_are_blank(self, tmp_path: Path) -> None:
        noise = np.clip(RNG.normal(210, 4, (600, 600, 3)), 0, 255).astype(np.uint8)
        assert code_of(png(tmp_path / "a.png", noise)) == "blank"

    def test_a_single_cell_is_not_blank(self, tmp_path: Path) -> None:
        pixels = np.full((1200, 1200, 3), 225, np.uint8)
        pixels[600:630, 600:630] = (190, 140, 150)
        assert validate(png(tmp_path / "a.png", pixels)).width == 1200

    def test_large_enough_has_no_warning(self, tmp_path: Path) -> None:
        pixels = np.tile(NOISE, (6, 6, 1))
        assert validate(png(tmp_path / "a.png", pixels), 0.2).warnings == ()

    def test_caller_s_scale_wins(self, tmp_path: Path) -> None:
        path = png(tmp_path / "a.png", NOISE, dpi=(25_400 / 0.139, 25_400 / 0.139))
        slide = validate(path, 0.2)
        assert (slide.mpp, slide.scale_source) == (0.2, ScaleSource.GIVEN)


class TestSlides:
    def test_tile_bomb(self, tmp_path: Path) -> None:
        path = pyramid(tmp_path / "a.tif", [(1200, 1000), (600, 500)])
        with pytest.raises(InputError) as caught:
            Validate("validate", max_tile_pixels=128 * 128 - 1).process(InputImage("x", path), None)
        assert caught.value.code == "bomb"

    def test_cut_pyramid(self, tmp_path: Path) -> None:
        path = pyramid(tmp_path / "a.tif", [(1200, 1000)])
        path.write_bytes(path.read_bytes()[:-2000])
        assert code_of(path) in ("truncated", "unreadable")

    @pytest.mark.parametrize("sizes", [[(1200, 1000), (600, 900)], [(1200, 1000), (600, 500), (600, 500)]])
    def test_levels_of_a_file_that_do_not_belong_together(self, tmp_path: Path, sizes: list[tuple[int, int]]) -> None:
        assert code_of(pyramid(tmp_path / "a.tif", sizes)) == "bad_levels"

    def test_levels_may_be_rounded(self, tmp_path: Path) -> None:
        slide = validate(pyramid(tmp_path / "a.tif", [(1001, 777), (500, 388), (250, 194), (63, 49)]))
        assert len(slide.levels) == 4

    def test_unknown_compression(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, NOISE, photometric="rgb", tile=(128, 128))
        with tifffile.TiffFile(path) as file:
            place = file.pages.first.tags["Compression"].valueoffset
        data = bytearray(path.read_bytes())
        data[place : place + 2] = struct.pack("<H", 52_479)
        path.write_bytes(data)
        assert code_of(path) == "unsupported_format"

    def test_damaged_overview_is_typed(self, tmp_path: Path) -> None:
        path = pyramid(tmp_path / "a.tif", [(1000, 1000)])
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            start, count = page.dataoffsets[0], page.databytecounts[0]
        data = bytearray(path.read_bytes())
        data[start : start + count] = bytes(count)
        path.write_bytes(data)
        assert code_of(path) == "unreadable"

    def test_directory_that_points_nowhere(self, tmp_path: Path) -> None:
        path = pyramid(tmp_path / "a.tif", [(1000, 1000)])
        data = bytearray(path.read_bytes())
        data[4:8] = struct.pack("<I", 2**31)
        path.write_bytes(data)
        assert code_of(path) == "unreadable"

    def test_a_large_level_is_sampled(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import hema_stages.validate as module

        monkeypatch.setattr(module, "OVERVIEW_PIXELS", 1_000_000)
        assert validate(pyramid(tmp_path / "a.tif", [(2100, 1700)])).width == 2100


def test_any_bytes_give_a_typed_error_or_a_slide(tmp_path: Path) -> None:
    """Headers with a few bytes changed: whatever they say, nothing but InputError comes out."""
    made = [png(tmp_path / "a.png", NOISE), pyramid(tmp_path / "a.tif", [(300, 260), (150, 130)])]
    Image.fromarray(NOISE).save(tmp_path / "a.jpg")
    refused = 0
    for path in [*made, tmp_path / "a.jpg"]:
        whole = path.read_bytes()
        for seed in range(40):
            rng = np.random.default_rng(seed)
            data = bytearray(whole)
            for place in rng.integers(0, min(len(data), 1200), 4):
                data[place] = int(rng.integers(0, 256))
            path.write_bytes(data)
            try:
                validate(path)
            except InputError:
                refused += 1
    assert refused > 20
