"""Folders as cameras, Macs, archives and the product itself leave them."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hema_stages.source import find_inputs
from PIL import Image

CLUTTER = ["._a.png", ".hidden.png", "Thumbs.db", ".DS_Store", "desktop.ini", "~$a.png", "b.png.part", "b.tif.tmp"]
FIELD = np.random.default_rng(3).integers(0, 255, (80, 90, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A folder with one picture that can be read."""
    Image.fromarray(FIELD).save(tmp_path / "a.png")
    return tmp_path


def found(place):
    images, errors = find_inputs([str(place)], None)
    return [image.path.name for image in images], [(os.path.basename(error.place), error.code) for error in errors]


@pytest.mark.parametrize("pattern", ["", "*"])
@pytest.mark.parametrize("name", CLUTTER)
def test_what_systems_leave_is_passed_over(folder, name, pattern):
    (folder / name).write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X        ")
    assert found(folder / pattern if pattern else folder) == (["a.png"], [])


def test_pictures_of_kinds_that_are_not_read_are_named(folder):
    for kind in ("bmp", "webp", "gif"):
        Image.fromarray(FIELD).save(folder / f"b.{kind}")
    for name in ("c.JP2", "d.heic", "e.czi", "f.nd2"):
        (folder / name).write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    names = ["b.bmp", "b.gif", "b.webp", "c.JP2", "d.heic", "e.czi", "f.nd2"]
    assert found(folder) == (["a.png"], [(name, "unsupported_format") for name in names])


def test_a_folder_of_nothing_but_such_pictures_is_not_called_empty(tmp_path):
    Image.fromarray(FIELD).save(tmp_path / "b.bmp")
    assert found(tmp_path) == ([], [("b.bmp", "unsupported_format")])


def test_our_own_pictures_are_no_inputs(folder):
    made = folder / "out" / "a"
    made.mkdir(parents=True)
    Image.fromarray(FIELD).save(made / "overlay.png")
    (made / "report.json").write_text("{}")
    assert found(folder / "**" / "*.png") == (["a.png"], [])
    assert found(made) == ([], [("a", "empty_folder")])
    (made / "report.json").unlink()
    assert found(made) == (["overlay.png"], [])


def test_a_pattern_that_matches_only_clutter_is_told(tmp_path):
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    assert found(tmp_path / "*.db") == ([], [("*.db", "not_found")])


def test_a_name_that_no_file_system_takes_harms_only_itself(folder):
    images, errors = find_inputs(["x" * 5000 + ".png", "nul\0.png", str(folder), "[" + "y" * 5000 + "]*"], None)
    assert [image.id for image in images] == ["a"]
    assert {error.code for error in errors} == {"not_found"}
    assert len(errors) == 3


def test_names_of_any_bytes(folder):
    for name in (b"\xff\xfe.png", b"line\nbreak.png", b"\x1b[2J.png", "ü".encode() * 120 + b".png"):
        with open(os.path.join(os.fsencode(folder), name), "wb") as handle:
            handle.write((folder / "a.png").read_bytes())
    images, errors = find_inputs([str(folder)], None)
    assert (len(images), errors) == (5, [])
    assert len({image.id for image in images}) == 5
    assert all(image.id.isprintable() and image.id.encode() for image in images)


def test_what_is_no_regular_file_is_not_opened(folder):
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "b.png")
    assert found(folder) == (["a.png"], [("b.png", "unsupported_format")])
