"""Watched folders: every file becomes one job and gets one verdict, whatever stops in between."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pretend
import pytest
import stand_in
from watched import put, running

from hema_stream.service import warm
from hema_stream.service.daemon import folders
from hema_stream.service.daemon.folders import WatchedFolder
from hema_stream.service.jobs import JobStore, Origin
from hema_stream.service.jobs.database import open_database
from hema_stream.service.parts import DISK, DISPATCHER, STORE
from hema_stream.service.submission import new_job


@pytest.fixture(autouse=True)
def pretending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "build_pipeline", pretend.build)
    monkeypatch.setattr(folders, "LOOK", 0.01)


async def test_every_file_is_analysed_and_gets_its_verdict(configured: Any, inbox: Path) -> None:
    put(inbox, "a.png", "b.png", "bad-c.png", "broken-d.png")
    async with running(configured()) as box:
        await box.until(lambda: len(box.names("done")) + len(box.names("failed")) == 4)
        await box.until(lambda: not box.folder._followed)
        standing = box.folder.standing
        assert (box.names("done"), box.names("failed")) == (["a.png", "b.png"], ["bad-c.png", "broken-d.png"])
        assert (inbox / "failed" / "bad-c.png.reason").read_text().startswith("unreadable: no picture: ")
        assert (standing.state, standing.claimed, standing.done, standing.failed) == ("watching", 4, 2, 2)
        jobs = box.app[STORE].page().jobs
        assert {job.origin for job in jobs} == {"folder"}
        assert all(Path(job.path).is_file() and Path(job.path).name == job.name for job in jobs)


async def test_what_there_is_no_room_for_stays_where_it_is(configured: Any, inbox: Path) -> None:
    put(inbox, "slow-1.png", "slow-2.png", "x.png", "y.png")
    async with running(configured()) as box:
        await box.until(lambda: len(box.stage.begun) == 2)
        await asyncio.sleep(0.1)
        assert box.names("") == ["x.png", "y.png"]
        box.stage.go.set()
        await box.until(lambda: len(box.names("done")) == 4)


async def test_while_the_disk_is_low_nothing_is_claimed_and_nothing_deleted(
    configured: Any, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 100
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": free, "total": 1000}))
    low = {"low": 50, "enough": 80, "every": 0.01}
    async with running(configured(limits={"disk": low})) as box:
        put(inbox, "a.png")
        await box.until(lambda: box.names("done") == ["a.png"])
        before = {path: path.read_bytes() for path in box.app[DISPATCHER]._settings.results.rglob("*.json")}
        free = 49
        await box.until(lambda: box.app[DISK].low)
        put(inbox, "b.png")
        await asyncio.sleep(0.1)
        free = 79
        await asyncio.sleep(0.1)
        assert box.names("") == ["b.png"]
        assert {path: path.read_bytes() for path in before} == before
        free = 80
        await box.until(lambda: box.names("done") == ["a.png", "b.png"])


async def test_a_stop_in_between_costs_no_file_and_repeats_none(configured: Any, inbox: Path) -> None:
    put(inbox, "a.png", "slow-1.png")
    async with running(configured()) as box:
        await box.until(lambda: box.names("done") == ["a.png"] and len(box.stage.begun) == 2)
        done = {job.id: job for job in box.app[STORE].page().jobs if job.status == "done"}
    assert box.names("claimed") == ["slow-1.png"]
    assert box.app[STORE].counts() == {"done": 1, "queued": 1}
    put(inbox, "b.png")
    async with running(configured()) as box:
        box.stage.go.set()
        await box.until(lambda: box.names("done") == ["a.png", "b.png", "slow-1.png"])
        assert "a.png" not in box.stage.begun
    jobs = {job.id: job for job in box.app[STORE].page().jobs}
    assert sorted(job.name for job in jobs.values()) == ["a.png", "b.png", "slow-1.png"]
    assert all(jobs[one].finished == job.finished for one, job in done.items())


async def test_a_verdict_that_a_stop_prevented_is_given_by_the_next_start(configured: Any, inbox: Path) -> None:
    put(inbox, "a.png")
    async with running(configured(), _stubborn) as box:
        await box.until(lambda: box.app[STORE].counts() == {"done": 1})
        await asyncio.sleep(0.2)
        assert box.names("claimed") == ["a.png"]
    async with running(configured()) as box:
        await box.until(lambda: box.names("done") == ["a.png"])
        assert box.stage.begun == []
        assert box.app[STORE].counts() == {"done": 1}


@pytest.mark.parametrize(("number", "others"), [(errno.EPERM, True), (errno.ENOSPC, False)])
async def test_a_verdict_that_cannot_be_given_is_given_later_and_stalls_no_other_file(
    configured: Any, inbox: Path, monkeypatch: pytest.MonkeyPatch, number: int, others: bool
) -> None:
    """A file that alone cannot be moved takes nobody's place; on a full disk the others wait too."""
    plain, stuck = WatchedFolder._verdict, True

    async def failing(self: Any, claim: Any, job: Any) -> Any:
        if stuck and (claim.name.startswith("a") or number == errno.ENOSPC):
            raise OSError(number, "cannot be moved", claim.name)
        return await plain(self, claim, job)

    monkeypatch.setattr(WatchedFolder, "_verdict", failing)
    put(inbox, "a1.png", "a2.png", "a3.png")
    async with running(configured()) as box:
        await box.until(lambda: box.app[STORE].counts().get("done") == (3 if others else 2))
        put(inbox, "b.png")
        if others:
            await box.until(lambda: box.names("done") == ["b.png"])
        else:
            await asyncio.sleep(0.2)
            assert box.app[STORE].counts() == {"done": 2}
        stuck = False
        await box.until(lambda: box.names("done") == ["a1.png", "a2.png", "a3.png", "b.png"])
        await box.until(lambda: not box.folder._followed)
        assert box.folder._room._value == 1  # the other is held for the file that is waited for
        assert box.folder.standing.done == 4


async def test_another_file_of_the_same_name_is_another_job(configured: Any, inbox: Path) -> None:
    async with running(configured()) as box:
        for count in (1, 2):
            put(inbox, "a.png")
            await box.until(lambda count=count: len(box.names("done")) == count)  # type: ignore[misc]
        assert box.app[STORE].counts() == {"done": 2}


async def test_a_folder_that_fails_is_watched_anew_when_what_was_claimed_has_ended(
    configured: Any, inbox: Path
) -> None:
    """A new watch gives claims without a verdict other paths, under which nobody would read them."""
    failing = True

    async def failing_once(folder: Path, may_claim: Callable[[], bool]) -> AsyncGenerator[Any]:
        nonlocal failing
        async with aclosing(stand_in.watch(folder, may_claim)) as claims:
            async for claim in claims:
                yield claim
                if failing:
                    failing = False
                    raise OSError("stale file handle")

    put(inbox, "slow-1.png", "x.png")
    async with running(configured(), failing_once) as box:
        await box.until(lambda: len(box.stage.begun) == 1 and box.folder.standing.state == "unreachable")
        await asyncio.sleep(0.2)
        assert box.names("") == ["x.png"]
        box.stage.go.set()
        await box.until(lambda: box.names("done") == ["slow-1.png", "x.png"])
        assert box.app[STORE].counts() == {"done": 2}


async def test_a_folder_that_goes_away_is_told_and_tried_again(configured: Any, inbox: Path) -> None:
    async with running(configured()) as box:
        inbox.rename(inbox.with_name("elsewhere"))
        await box.until(lambda: box.folder.standing.state == "unreachable")
        assert "No such file" in box.folder.standing.why
        inbox.with_name("elsewhere").rename(inbox)
        put(inbox, "a.png")
        await box.until(lambda: box.names("done") == ["a.png"])
        assert (box.folder.standing.state, box.folder.standing.why) == ("watching", "")


async def test_a_link_that_leads_elsewhere_is_not_read(configured: Any, inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (inbox / "a.png").symlink_to(tmp_path / "secret.png")
    async with running(configured()) as box:
        await box.until(lambda: box.names("failed") == ["a.png"])
        assert box.stage.begun == []
    assert (tmp_path / "secret.png").read_bytes() == b"secret"


async def test_a_slide_that_is_deleted_gives_its_file_a_verdict(configured: Any, inbox: Path) -> None:
    put(inbox, "slow-1.png", "slow-2.png")
    async with running(configured(limits={"jobs": {"open": 1}, "disk": {"low": 1, "enough": 2}})) as box:
        await box.until(lambda: box.app[STORE].counts() == {"running": 1, "queued": 1})
        (waiting,) = box.app[STORE].page(statuses=["queued"]).jobs
        box.app[STORE].delete(waiting.id)
        await box.until(lambda: box.names("failed") == ["slow-2.png"])


@pytest.mark.parametrize("key", ["", "upload", "UP", "a b"])
async def test_what_others_lay_among_claimed_files_is_no_claim(configured: Any, inbox: Path, key: str) -> None:
    """The key becomes a job's id and the name of its results' folder, so it is not believed."""
    config = configured()
    config.data.mkdir()
    store = JobStore(open_database(config.service().database_url))
    other = new_job("other", inbox, Origin.UPLOAD, mpp=None, priority=0, length=9)
    store.add(other)
    place = inbox / "claimed" / f"{other.id if key == 'upload' else key}.1"
    place.mkdir(parents=True)
    put(place, "a.png")
    async with running(config) as box:
        await box.until(lambda: box.names("failed") == ["a.png"])
        assert (inbox / "failed" / "a.png.reason").read_text().startswith("not_claimed")
        (job,) = box.app[STORE].page().jobs
        assert (job.id, job.path, job.status) == (other.id, str(inbox), "uploading")


async def _stubborn(folder: Path, may_claim: Callable[[], bool]) -> AsyncGenerator[Any]:
    """Files that cannot be moved once they are claimed."""
    async for claim in stand_in.watch(folder, may_claim):
        yield _Stuck(claim.path, folder)


class _Stuck(stand_in.StandInClaim):
    async def done(self) -> Path | None:
        raise OSError("read-only file system")
