"""A scan's folder read as one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hema_stages.readers import open_reader

from hema_stream.core.errors import InputError
from hema_stream.core.scan_folder import DECLARATION, field_name, kept_fields, write_json
from hema_stream.core.slide import Level, ScaleSource, Slide

WIDTH, HEIGHT, MPP = 200, 160, 0.5
GROUND = np.full(3, 255, np.uint8)


@pytest.fixture
def scene() -> np.ndarray:
    y, x = np.mgrid[0:400, 0:600]
    return np.stack([x % 256, y % 256, (x + y) % 256], axis=2).astype(np.uint8) // 2 + 60


def slide(folder: Path) -> Slide:
    levels = tuple(Level(600 // n, 400 // n, float(n)) for n in (1, 2, 4, 8))
    return Slide("scan", folder, 600, 400, MPP, ScaleSource.GIVEN, levels, "fields")


def begin(folder: Path) -> None:
    write_json(folder, DECLARATION, {"corner": [10.0, 20.0], "width": WIDTH, "height": HEIGHT})


def keep(folder: Path, scene: np.ndarray, index: int, x: int, y: int, encoding: str = "raw") -> None:
    pixels = np.ascontiguousarray(scene[y : y + HEIGHT, x : x + WIDTH])
    data = pixels.tobytes() if encoding == "raw" else simplejpeg.encode_jpeg(pixels, quality=98)
    (folder / field_name(index, 10.0 + x * MPP, 20.0 + y * MPP, encoding)).write_bytes(data)


def test_fields_lie_where_they_were_taken_and_what_did_not_come_is_blank(tmp_path: Path, scene: np.ndarray) -> None:
    begin(tmp_path)
    keep(tmp_path, scene, 0, 0, 0)
    keep(tmp_path, scene, 1, 150, 40)
    reader = open_reader(slide(tmp_path), "plain")
    picture = reader.read((0, 0, 600, 400), (600, 400), GROUND)
    assert (picture[:160, :150] == scene[:160, :150]).all()
    assert (picture[40:200, 150:350] == scene[40:200, 150:350]).all()
    assert (picture[210:] == 255).all()


def test_a_field_that_comes_later_is_seen(tmp_path: Path, scene: np.ndarray) -> None:
    begin(tmp_path)
    reader = open_reader(slide(tmp_path), "plain")
    assert (reader.read((0, 0, 200, 160), (200, 160), GROUND) == 255).all()
    keep(tmp_path, scene, 0, 0, 0)
    assert (reader.read((0, 0, 200, 160), (200, 160), GROUND) == scene[:160, :200]).all()


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
@pytest.mark.parametrize("shrink", [2, 4, 8])
def test_coarser_levels_show_the_same(tmp_path: Path, scene: np.ndarray, shrink: int, encoding: str) -> None:
    begin(tmp_path)
    keep(tmp_path, scene, 0, 0, 0, encoding)
    keep(tmp_path, scene, 1, 200, 0, encoding)
    picture = open_reader(slide(tmp_path), "plain").read((0, 0, 400, 160), (400 // shrink, 160 // shrink), GROUND)
    fine = scene[:160, :400].reshape(160 // shrink, shrink, 400 // shrink, shrink, 3).mean(axis=(1, 3))
    assert np.abs(picture.astype(float) - fine).mean() < 6


def test_a_field_that_cannot_be_read_is_blank(tmp_path: Path, scene: np.ndarray) -> None:
    begin(tmp_path)
    keep(tmp_path, scene, 0, 0, 0)
    (tmp_path / field_name(1, 110.0, 20.0, "jpeg")).write_bytes(b"\xff\xd8 broken")
    (tmp_path / field_name(2, 110.0, 100.0, "raw")).write_bytes(b"short")
    picture = open_reader(slide(tmp_path), "plain").read((0, 0, 400, 320), (400, 320), GROUND)
    assert (picture[:160, :200] == scene[:160, :200]).all()
    assert (picture[:, 200:] == 255).all()


def test_a_folder_without_a_declaration_is_no_scan(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no scan"):
        open_reader(slide(tmp_path), "plain")


def test_names_that_are_none_of_a_field_are_passed_over(tmp_path: Path) -> None:
    for name in ("1_0.000_0.000.jpeg", ".2_0.000_0.000.jpeg.partial", "3_0_0.jpeg", "scan.json", "x_0.000_0.000.raw"):
        (tmp_path / name).write_bytes(b"")
    assert [field.index for field in kept_fields(tmp_path)] == [1]
