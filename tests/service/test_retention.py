"""Retention: uploaded images go when their time is over; results and what is under way stay."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hema_stream.service.jobs import Job, JobStore, Origin, Status
from hema_stream.service.jobs.database import open_database
from hema_stream.service.retention import Retention, RetentionLimits
from hema_stream.service.uploads import Uploads

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(open_database(f"sqlite:///{tmp_path / 'service.db'}"))


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    (tmp_path / "uploads").mkdir()
    return tmp_path / "uploads"


def upload(store: JobStore, folder: Path, name: str, status: Status, **changes: Any) -> Path:
    path = folder / f"{name}.png"
    path.write_bytes(b"picture")
    facts = {"origin": Origin.UPLOAD, "priority": 0, "submitted": NOW, **changes}
    store.add(Job(id=name, name=name, path=str(path), status=status, **facts))
    return path


def keeping(store: JobStore, uploads: Path, images: str | None) -> Retention:
    limits = {"unfinished": "24 h", "images": images, "every": 1}
    return Retention(uploads, store, Uploads(), RetentionLimits.model_validate(limits))


def age(path: Path, by: timedelta) -> None:
    then = (NOW - by).timestamp()
    os.utime(path, (then, then))


async def test_images_go_when_their_time_is_over(store: JobStore, uploads: Path, tmp_path: Path) -> None:
    report = tmp_path / "results" / "old" / "report.json"
    report.parent.mkdir(parents=True)
    report.write_text("{}")
    old = upload(store, uploads, "old", Status.DONE, finished=NOW - 31 * DAY)
    new = upload(store, uploads, "new", Status.DONE, finished=NOW - 29 * DAY)
    running = upload(store, uploads, "running", Status.RUNNING, submitted=NOW - 90 * DAY)
    age(running, 90 * DAY)
    await keeping(store, uploads, "30 d").sweep(NOW)
    assert [path.exists() for path in (old, new, running, report)] == [False, True, True, True]
    assert store.get("old") is not None


async def test_without_a_time_they_stay(store: JobStore, uploads: Path) -> None:
    old = upload(store, uploads, "old", Status.DONE, finished=NOW - 3000 * DAY)
    await keeping(store, uploads, None).sweep(NOW)
    assert old.exists()


async def test_what_nobody_went_on_with_goes_and_what_belongs_to_no_job_of_this_database_stays(
    store: JobStore, uploads: Path
) -> None:
    fresh = upload(store, uploads, "fresh", Status.UPLOADING)
    stale = upload(store, uploads, "stale", Status.UPLOADING)
    orphans = [uploads / "one.png", uploads / "two.png"]
    for path in orphans:
        path.write_bytes(b"")
    for path in (stale, orphans[0]):
        age(path, 1.1 * DAY)
    await keeping(store, uploads, None).sweep(NOW)
    assert [path.exists() for path in (fresh, stale, *orphans)] == [True, False, True, True]
    found = store.get("stale")
    assert found is not None
    assert (found.status, found.code) == ("cancelled", "expired")


async def test_an_upload_that_is_whole_is_queued_and_not_given_up(store: JobStore, uploads: Path) -> None:
    """Its last answer was lost, and nobody asked again."""
    whole = upload(store, uploads, "whole", Status.UPLOADING, length=len(b"picture"))
    age(whole, 2 * DAY)
    await keeping(store, uploads, None).sweep(NOW)
    found = store.get("whole")
    assert found is not None
    assert (found.status, whole.exists()) == ("queued", True)
