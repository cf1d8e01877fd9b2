"""A watched folder: what is whole is claimed once, and everything ends somewhere with a reason."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hema_stream.service.settings import load_limits
from hema_stream.service.watch import Claimed, Claims, Stability, WatchError, WatchRules, watch, watching
from hema_stream.service.watch.claims import move

SHORT = {"stable": 0.2, "empty": 0.4}


def rules(**changes: Any) -> WatchRules:
    return load_limits().watch.model_copy(update={**SHORT, **changes})


async def first(slides: AsyncIterator[Claimed]) -> Claimed:
    return await asyncio.wait_for(anext(slides), 10)


async def none_for(slides: AsyncIterator[Claimed], seconds: float) -> bool:
    """Whether nothing is claimed for some time; the iteration is over after it."""
    try:
        await asyncio.wait_for(anext(slides), seconds)
    except TimeoutError:
        return True
    return False


async def quarantined(folder: Path) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while not (notes := list((folder / "quarantine").glob("*.reason.json"))):
            await asyncio.sleep(0.02)
    (note,) = notes
    return dict(json.loads(note.read_text()))


async def test_a_slide_is_claimed_once_it_has_stopped_growing(tmp_path: Path) -> None:
    path, slides = tmp_path / "a.png", watch(tmp_path, rules(stable=0.5))
    claiming = asyncio.create_task(first(slides))
    for _ in range(6):
        with path.open("ab") as file:
            file.write(b"more")
        await asyncio.sleep(0.2)
        assert not claiming.done()
    slide = await claiming
    assert (slide.name, slide.attempt, slide.path.read_bytes()) == ("a.png", 1, b"more" * 6)
    assert not path.exists()
    kept = await slide.done()
    assert kept == tmp_path / "done" / "a.png"
    assert kept.is_file()
    assert list((tmp_path / ".claimed").iterdir()) == []


async def test_what_is_done_may_be_deleted(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")
    slide = await first(watch(tmp_path, rules(keep=False)))
    assert await slide.done() is None
    assert Claims(tmp_path, rules()).look() == []
    assert not slide.path.parent.exists()


async def test_what_fails_goes_to_quarantine_with_its_reason_and_writes_over_nothing(tmp_path: Path) -> None:
    slides = watch(tmp_path, rules())
    places = []
    for _ in range(2):
        (tmp_path / "a.png").write_bytes(b"picture")
        slide = await first(slides)
        places.append(await slide.failed("blank", "there is nothing on it"))
    assert len(set(places)) == 2
    for place in places:
        note = json.loads(place.with_name(place.name + ".reason.json").read_text())
        assert (note["name"], note["code"], note["reason"]) == ("a.png", "blank", "there is nothing on it")
        assert place.read_bytes() == b"picture"


async def test_two_watchers_never_have_the_same_slide(tmp_path: Path) -> None:
    claims = [Claims(tmp_path, rules()) for _ in range(2)]
    claims[0].prepare()
    for number in range(40):
        (tmp_path / f"{number}.png").write_bytes(b"picture")
    found = [entry.name for entry in claims[0].look()]
    taken = await asyncio.gather(*(asyncio.to_thread(claim.claim, name) for name in found for claim in claims))
    assert sorted(slide.name for slide in taken if slide) == sorted(found)
    assert len(list((tmp_path / ".claimed").iterdir())) == 40


async def test_a_slide_that_was_claimed_by_a_run_that_died_is_begun_again_and_in_the_end_given_up(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")
    attempts = []
    for _ in range(3):
        slides = watch(tmp_path, rules(attempts=3))
        attempts.append((await first(slides)).attempt)
        await slides.aclose()  # type: ignore[attr-defined]
    assert attempts == [1, 2, 3]
    assert await none_for(watch(tmp_path, rules(attempts=3)), 0.5)
    assert (await quarantined(tmp_path))["code"] == "gave_up"


async def test_a_slide_that_is_put_back_is_claimed_again_as_if_for_the_first_time(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")
    slides = watch(tmp_path, rules())
    slide = await first(slides)
    assert await slide.put_back() == tmp_path / "a.png"
    assert (await first(slides)).attempt == 1


@pytest.mark.parametrize("name", [".a.png", "a.png.part", "~a.png", "notes.txt", "a"])
async def test_what_is_unfinished_or_no_slide_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"picture")
    assert await none_for(watch(tmp_path, rules()), 0.8)
    assert (tmp_path / name).is_file()


async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere" / "secret.png"
    secret.parent.mkdir()
    secret.write_bytes(b"secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.png").symlink_to(secret)
    watching = asyncio.create_task(none_for(watch(folder, rules()), 2))
    assert (await quarantined(folder))["code"] == "not_a_file"
    assert await watching
    assert secret.read_bytes() == b"secret"


@pytest.mark.parametrize(("content", "code"), [(b"", "empty"), (b"x" * 99, "size")])
async def test_empty_and_too_large_files_are_not_taken(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    watching = asyncio.create_task(none_for(watch(tmp_path, rules(most_bytes=98)), 2))
    assert (await quarantined(tmp_path))["code"] == code
    assert await watching


async def test_a_companion_folder_comes_along_and_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "s.mrxs").write_bytes(b"head")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "Data0000.dat").write_bytes(b"pixels")
    slide = await first(watch(tmp_path, rules()))
    assert (slide.path.with_suffix("") / "Data0000.dat").read_bytes() == b"pixels"
    place = await slide.failed("unreadable", "no")
    assert (place.with_suffix("") / "Data0000.dat").is_file()
    assert not (tmp_path / "s").exists()


async def test_on_a_full_disk_nothing_is_claimed(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")
    room = False
    slides = watch(tmp_path, rules(), may_claim=lambda: room)
    claiming = asyncio.create_task(first(slides))
    await asyncio.sleep(0.8)
    assert not claiming.done()
    assert (tmp_path / "a.png").is_file()
    room = True
    assert (await claiming).name == "a.png"


async def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    stop = asyncio.Event()
    slides = watch(tmp_path, rules(), stop)
    waiting = asyncio.create_task(anext(slides, None))  # type: ignore[arg-type]
    await asyncio.sleep(0.3)
    stop.set()
    assert await asyncio.wait_for(waiting, 5) is None


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WatchError, match="nowhere"):
        await first(watch(tmp_path / "nowhere", rules()))


def test_a_change_of_any_kind_begins_anew() -> None:
    stability = Stability()
    assert stability.observe("a", (1, 1), 0.0) == 0.0
    assert stability.observe("a", (1, 1), 3.0) == 3.0
    assert stability.observe("a", (1, 2), 4.0) == 0.0
    assert stability.observe("a", (1, 2), 6.0) == 2.0
    stability.keep(["b"])
    assert stability.observe("a", (1, 2), 9.0) == 0.0


async def claimed_in_time(slides: AsyncIterator[Claimed], count: int) -> list[str]:
    names = []
    for _ in range(count):
        slide = await first(slides)
        names.append(slide.name)
        await slide.done()
    return sorted(names)


async def test_a_file_that_cannot_be_moved_stalls_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, stuck = Path.rename, True

    def rename(self: Path, target: Any) -> Path:
        if stuck and self.name == "a.png":
            raise PermissionError(errno.EPERM, "operation not permitted", str(self))
        return plain(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(watching, "RETRY", 0.1)
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(b"x")
    slides = watch(tmp_path, rules())
    assert await claimed_in_time(slides, 2) == ["b.png", "c.png"]
    assert (tmp_path / "a.png").exists()
    assert list((tmp_path / ".claimed").iterdir()) == []
    stuck = False
    assert await claimed_in_time(slides, 1) == ["a.png"]


async def test_a_name_that_is_not_utf_8_goes_to_quarantine_and_stalls_no_other(tmp_path: Path) -> None:
    strange = os.fsdecode(b"a\xff\xfe.png")
    (tmp_path / strange).write_bytes(b"x")
    (tmp_path / "b.png").write_bytes(b"x")
    assert await claimed_in_time(watch(tmp_path, rules()), 1) == ["b.png"]
    assert (await quarantined(tmp_path))["code"] == "name"
    assert (tmp_path / "quarantine" / strange).read_bytes() == b"x"


@pytest.mark.parametrize("length", [245, 255])
async def test_a_name_as_long_as_names_may_be_gets_its_verdict(tmp_path: Path, length: int) -> None:
    name = "é" * ((length - 4) // 2) + "x" * ((length - 4) % 2) + ".png"
    for _ in range(2):  # the second finds the name taken
        (tmp_path / name).write_bytes(b"x")
        slide = await first(watch(tmp_path, rules()))
        await slide.failed("unreadable", "no picture")
    kept = [path for path in (tmp_path / "quarantine").iterdir() if path.suffix == ".png"]
    assert len(kept) == 2
    assert len(list((tmp_path / "quarantine").glob("*.reason.json"))) == 2
    for _ in range(2):
        (tmp_path / name).write_bytes(b"x")
        assert await (await first(watch(tmp_path, rules()))).done() is not None


@pytest.mark.parametrize("number", ["²", "٣", "9" * 40, "-1", "x"])
async def test_a_strange_count_among_the_claimed_stalls_nothing(tmp_path: Path, number: str) -> None:
    place = tmp_path / ".claimed" / f"abcdefgh.{number}"
    place.mkdir(parents=True)
    (place / "x.png").write_bytes(b"x")
    (tmp_path / "b.png").write_bytes(b"x")
    assert await claimed_in_time(watch(tmp_path, rules()), 1) == ["b.png"]
    assert (place / "x.png").read_bytes() == b"x"


async def test_another_file_system_is_reached_by_a_copy_that_is_whole_before_the_original_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Path.rename

    def rename(self: Path, target: Any) -> Path:
        if self.parent != Path(target).parent:  # each folder is a file system of its own
            raise OSError(errno.EXDEV, "cross-device link")
        return plain(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    (tmp_path / "a.mrxs").write_bytes(b"index")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Data.dat").write_bytes(b"pixels")
    (tmp_path / "b.png").write_bytes(b"x")
    assert await claimed_in_time(watch(tmp_path, rules()), 2) == ["a.mrxs", "b.png"]
    done = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert done == {"done/a.mrxs": b"index", "done/a/Data.dat": b"pixels", "done/b.png": b"x"}


def test_a_copy_that_fails_leaves_the_original_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(self: Path, target: Any) -> Path:
        raise OSError(errno.EXDEV, "cross-device link")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(os, "fsync", full)
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "done").mkdir()
    with pytest.raises(OSError, match="no space left"):
        move(tmp_path / "a.png", tmp_path / "done" / "a.png")
    assert list((tmp_path / "done").iterdir()) == []
    assert (tmp_path / "a.png").read_bytes() == b"x"


def test_a_folder_is_tried_out_by_the_very_operations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Claims(tmp_path, rules()).try_out()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    def rename(self: Path, target: Any) -> Path:
        raise PermissionError(errno.EPERM, "operation not permitted")

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(PermissionError):
        Claims(tmp_path, rules()).try_out()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
