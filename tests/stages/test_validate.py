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
