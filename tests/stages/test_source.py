"""What is asked for becomes slides; what cannot be opened is named and stops nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hema_stages.source import FileSource, find_inputs, name_inputs, safe_stem

from hema_stream.core.errors import InputError
from hema_stream.core.slide import InputImage
from hema_stream.flow import Buffer, CapsEvent, Eos, StreamStart
from hema_stream.flow.bus import ErrorMessage


@pytest.fixture
def touch(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        return tmp_path

    return make


def ids(patterns):
    return [image.id for image in find_inputs(map(str, patterns), None)[0]]


def codes(patterns):
    return [error.code for error in find_inputs(map(str, patterns), None)[1]]


class TestFindInputs:
    def test_file_folder_and_pattern(self, touch):
        folder = touch("b.png", "a.JPG", "notes.txt", "deep/c.tif")
        assert ids([folder / "b.png"]) == ["b"]
        assert ids([folder]) == ["a", "b"]
        assert ids([folder / "*.png", folder / "deep"]) == ["b", "c"]
        assert ids([folder / "**" / "*.tif"]) == ["c"]

    def test_a_file_named_twice_is_one_input(self, touch):
        folder = touch("a.png")
        assert ids([folder / "a.png", folder, folder / "." / "a.png", folder / "x" / ".." / "a.png"]) == ["a"]

    def test_mpp_is_handed_on(self, touch):
        images, _ = find_inputs([str(touch("a.png"))], 0.2)
        assert [image.mpp for image in images] == [0.2]

    def test_same_stem_in_two_folders_gets_a_hash_on_both(self, touch):
        folder = touch("one/a.png", "two/a.png", "two/b.png")
        first, second, other = ids([folder / "one", folder / "two"])
        assert other == "b"
        assert first != second
        assert all(name.startswith("a-") and len(name) == 10 for name in (first, second))
        assert ids([folder / "one", folder / "two"]) == [first, second, other]

    def test_stems_that_differ_in_case_or_ending_clash_too(self, touch):
        folder = touch("A.png", "a.tif")
        assert len({name.casefold() for name in ids([folder])}) == 2

    def test_missing_file_and_pattern(self, touch):
        folder = touch("a.png")
        assert codes([folder / "none.png"]) == ["not_found"]
        assert codes([folder / "*.svs"]) == ["not_found"]
        (folder / "dangling.png").symlink_to(folder / "nowhere.png")
        assert codes([folder / "dangling.png"]) == ["not_found"]

    def test_empty_folder(self, touch):
        assert codes([touch("notes.txt")]) == ["empty_folder"]

    def test_no_permission(self, touch, monkeypatch):
        folder = touch("a.png", "b.png", "shut/c.png")
        real = os.access
        shut = {str(folder / "b.png"), str(folder / "shut")}
        monkeypatch.setattr(os, "access", lambda path, mode: str(path) not in shut and real(path, mode))
        images, errors = find_inputs([str(folder), str(folder / "shut")], None)
        assert [image.id for image in images] == ["a"]
        assert [error.code for error in errors] == ["no_permission", "no_permission"]
        assert {error.place for error in errors} == shut

    def test_folder_that_may_not_be_looked_into(self, touch, monkeypatch):
        folder = touch("shut/a.png")

        def refuse(self):
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "is_dir", refuse)
        assert codes([folder / "shut" / "a.png"]) == ["no_permission"]

    def test_a_bad_one_stops_no_other(self, touch):
        folder = touch("a.png", "b.png")
        images, errors = find_inputs([str(folder / "gone.png"), str(folder)], None)
        assert [image.id for image in images] == ["a", "b"]
        assert isinstance(errors[0], InputError)
        assert errors[0].place == str(folder / "gone.png")
        assert errors[0].remedy

    def test_a_name_with_pattern_signs_that_exists(self, touch):
        assert ids([touch("a[1].png") / "a[1].png"]) == ["a[1]"]


class TestIds:
    @pytest.mark.parametrize(
        ("name", "stem"),
        [
            ("Frottis sanguin n° 3.png", "Frottis sanguin n° 3"),
            ("血液塗抹 標本.tif", "血液塗抹 標本"),
            ("e\u0301.png", "\u00e9"),
            ("slide.v1.png", "slide.v1"),
            ("a:b?c*d.png", "a_b_c_d"),
            ("line\nbreak.png", "line_break"),
            (" spaces .png", "spaces"),
            ("....png", "image"),
        ],
    )
    def test_what_a_folder_may_be_called(self, name, stem):
        assert safe_stem(Path(name)) == stem

    def test_bytes_that_are_no_text(self):
        assert safe_stem(Path(os.fsdecode(b"a\xff.png"))) == "a_"

    def test_long_names_are_cut_and_stay_apart(self, tmp_path):
        paths = [tmp_path / folder / f"{'å' * 120}.png" for folder in ("one", "two")]
        names = [image.id for image in name_inputs(paths, None)]
        assert len(set(names)) == 2
        assert all(len(name.encode()) <= 200 for name in names)


async def events_of(source):
    return [event async for event in source.stream()]


class TestFileSource:
    async def test_a_slide_is_start_caps_image_and_end(self, touch):
        events = await events_of(FileSource("source", location=str(touch("a.png") / "a.png"), mpp="0.25"))
        assert [type(event) for event in events] == [StreamStart, CapsEvent, Buffer, Eos]
        assert {event.slide for event in events} == {"a"}
        assert events[1].caps.media == "image/input"
        assert events[2].item.mpp == 0.25

    async def test_inputs_given_by_a_program(self):
        source = FileSource("source")
        source.inputs = [InputImage("x", Path("x.png")), InputImage("y", Path("y.png"))]
        assert [event.slide for event in await events_of(source) if isinstance(event, Buffer)] == ["x", "y"]

    async def test_several_places_with_a_bad_one(self, touch):
        folder = touch("a.png", "deep/b.png")
        source = FileSource("source", location=f"{folder}|{folder / 'gone.png'}|{folder / 'deep'}")
        said = []
        source._post = said.append
        events = await events_of(source)
        assert [event.slide for event in events if isinstance(event, StreamStart)] == ["a", "b"]
        assert [error.code for error in source.rejected] == ["not_found"]
        assert [type(message) for message in said] == [ErrorMessage]
        assert said[0].error is source.rejected[0]

    async def test_nothing_at_all_is_an_error(self, tmp_path):
        with pytest.raises(InputError, match="no such file"):
            await events_of(FileSource("source", location=str(tmp_path / "gone.png")))
