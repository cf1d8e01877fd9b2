"""Files that appear together or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hema_stages.sinks.artefact import artefacts

from hema_stream.core.errors import OutputError


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_take_their_names_when_all_are_written(tmp_path: Path) -> None:
    with artefacts(tmp_path / "a" / "b") as files:
        with files.open("one") as handle:
            handle.write(b"1")
        with files.open("two") as handle:
            handle.write(b"2")
        assert not {"one", "two"} & names(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == {"one", "two"}


def test_the_last_file_appears_after_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []
    replace = Path.replace

    def spy(self: Path, target: Path) -> Path:
        named.append(target.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", spy)
    with artefacts(tmp_path, last="one") as files:
        for name in ("one", "two", "three"):
            with files.open(name):
                pass
    assert named == ["two", "three", "one"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"old")

    def fail() -> None:
        with artefacts(tmp_path) as files:
            with files.open("one") as handle:
                handle.write(b"new")
            with files.open("two"):
                raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert names(tmp_path) == {"one"}
    assert (tmp_path / "one").read_bytes() == b"old"


def test_an_error_of_the_disk_names_file_and_remedy(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(OutputError) as caught, artefacts(blocked / "folder"):
        pass
    assert str(blocked) in caught.value.place
    assert caught.value.remedy


def test_a_full_disk_is_an_error_of_output(tmp_path: Path) -> None:
    def fill() -> None:
        with artefacts(tmp_path) as files, files.open("one"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        fill()
    assert names(tmp_path) == set()


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".report.json.99999.partial").write_bytes(b"half")
    with artefacts(tmp_path) as files, files.open("one"):
        pass
    assert names(tmp_path) == {"one"}


def test_a_second_writer_is_refused_and_deletes_nothing_of_the_first(tmp_path: Path) -> None:
    with artefacts(tmp_path) as files, files.open("one") as handle:
        handle.write(b"1")
        with pytest.raises(OutputError) as caught, artefacts(tmp_path):
            pass
        assert caught.value.code == "claimed"
    assert (tmp_path / "one").read_bytes() == b"1"


def test_what_is_there_is_replaced_only_where_it_may_be(tmp_path: Path) -> None:
    (tmp_path / "last").write_bytes(b"mine")

    def write(replace: bool) -> None:
        with artefacts(tmp_path, "last", replace) as files:
            for name in ("one", "last"):
                with files.open(name) as handle:
                    handle.write(b"new")

    with pytest.raises(OutputError) as caught:
        write(replace=False)
    assert caught.value.code == "exists"
    assert names(tmp_path) == {"last"}
    assert (tmp_path / "last").read_bytes() == b"mine"
    write(replace=True)
    assert (tmp_path / "last").read_bytes() == b"new"
