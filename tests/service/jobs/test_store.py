"""Jobs in either database: claimed in order, ended once, listed in pages, and as the migrations make them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine

from hema_stream.service.jobs import Job, JobStore, Status
from hema_stream.service.jobs.database import open_database
from hema_stream.service.jobs.job import Base
from hema_stream.service.jobs.store import Ending, JobStateError


def job(name: str, **changes: Any) -> Job:
    facts = {"origin": "path", "status": Status.QUEUED, "priority": 0, "submitted": datetime.now(UTC)}
    return Job(id=name, name=f"{name}.png", path=f"/smears/{name}.png", **{**facts, **changes})


def test_the_migrations_make_what_the_models_say(engine: Engine) -> None:
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert differences == []


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        engine = open_database(f"sqlite:///{tmp_path / 'service.db'}")
        store = JobStore(engine)
        if not store.get("a"):
            store.add(job("a"))
        assert store.get("a") is not None
        engine.dispose()


def test_the_urgent_go_first_and_then_the_oldest(store: JobStore) -> None:
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5)):
        store.add(job(name, priority=priority))
    claimed = [taken.id for _ in range(4) if (taken := store.claim())]
    assert claimed == ["b", "d", "a", "c"]
    assert store.claim() is None
    assert {taken.attempts for taken in store.running()} == {1}


def test_a_job_is_claimed_once_by_however_many_ask(store: JobStore) -> None:
    for number in range(20):
        store.add(job(f"j{number}"))
    with ThreadPoolExecutor(8) as pool:
        claimed = [taken.id for taken in pool.map(lambda _: store.claim(), range(40)) if taken]
    assert sorted(claimed) == sorted(f"j{number}" for number in range(20))


def test_an_end_is_written_once(store: JobStore) -> None:
    store.add(job("a"))
    store.claim()
    store.end("a", Ending(Status.DONE, counts={"cells": 3}, progress={"analysed": 1}, sha256="ab"))
    store.end("a", Ending(Status.FAILED, code="late"))
    found = store.get("a")
    assert found is not None
    assert (found.status, found.code, found.counts, found.sha256) == ("done", None, {"cells": 3}, "ab")
    assert found.finished is not None
    assert found.finished.tzinfo is not None
    assert found.finished.utcoffset() == timedelta(0)


def test_what_was_interrupted_is_queued_again(store: JobStore) -> None:
    store.add(job("a"))
    store.claim()
    store.requeue("a")
    taken = store.claim()
    assert taken is not None
    assert taken.attempts == 2


def test_only_what_was_not_begun_is_withdrawn(store: JobStore) -> None:
    for name in ("a", "b"):
        store.add(job(name))
    store.claim()
    assert not store.withdraw("a")
    assert store.withdraw("b")
    with pytest.raises(JobStateError):
        store.withdraw("b")
    assert store.claim() is None


def test_what_is_under_way_is_not_deleted(store: JobStore) -> None:
    store.add(job("a"))
    store.claim()
    with pytest.raises(JobStateError):
        store.delete("a")
    store.end("a", Ending(Status.CANCELLED))
    store.delete("a")
    assert store.get("a") is None


def test_pages_hold_every_job_once_newest_first(store: JobStore) -> None:
    for number in range(7):
        store.add(job(f"j{number}"))
    seen, before = [], None
    while True:
        page = store.page(before=before, limit=3)
        seen += [found.id for found in page.jobs]
        before = page.before
        if before is None:
            break
    assert seen == [f"j{number}" for number in reversed(range(7))]


def test_lists_are_filtered(store: JobStore) -> None:
    for name, status in (("ward_1", Status.QUEUED), ("wardX1", Status.DONE), ("other", Status.DONE)):
        store.add(job(name, status=status))
    assert [found.id for found in store.page(statuses=["done"]).jobs] == ["other", "wardX1"]
    assert [found.id for found in store.page(text="WARD_").jobs] == ["ward_1"]
    assert store.counts() == {"queued": 1, "done": 2}


def test_an_upload_is_queued_when_it_is_whole(store: JobStore) -> None:
    store.add(job("a", status=Status.UPLOADING, origin="upload", length=1 << 40))
    assert store.claim() is None
    store.uploaded("a")
    taken = store.claim()
    assert taken is not None
    assert taken.length == 1 << 40
    with pytest.raises(JobStateError):
        store.uploaded("a")


@pytest.mark.parametrize(("first", "second"), [("claim", "withdraw"), ("claim", "delete"), ("uploaded", "withdraw")])
def test_of_two_that_change_a_job_at_once_one_wins_and_the_other_is_told(
    store: JobStore, first: str, second: str
) -> None:
    begun = Status.UPLOADING if first == "uploaded" else Status.QUEUED
    with ThreadPoolExecutor(2) as pool:
        for number in range(60):
            name, start = f"j{number}", Barrier(2)
            store.add(job(name, status=begun))
            changes = [
                pool.submit(_told, start, getattr(store, change), () if change == "claim" else (name,))
                for change in (first, second)
            ]
            won = [change.result(20) for change in changes]
            left = store.get(name)
            if first == "claim":
                assert won[0] is not won[1]
                assert (left.status if left else "deleted") == ("running" if won[0] else _AFTER[second])
            else:  # a cancellation after the last byte is one of a queued job: both may win, in that order
                assert left is not None
                assert (left.status == "cancelled") is won[1]
                assert any(won)
            if left is not None:
                store.end(name, Ending(Status.DONE))


_AFTER = {"withdraw": "cancelled", "delete": "deleted"}


def _told(start: Barrier, change: Callable[..., Any], what: tuple[str, ...]) -> bool:
    """Whether a change was made; ``uploaded`` says so by raising nothing, ``claim`` by a job."""
    start.wait(20)
    try:
        return change(*what) not in (None, False) or change.__name__ == "uploaded"
    except JobStateError:
        return False


def test_the_second_end_is_told(store: JobStore) -> None:
    store.add(job("a"))
    store.claim()
    assert store.end("a", Ending(Status.DONE))
    assert not store.end("a", Ending(Status.FAILED))
    assert not store.end("nobody", Ending(Status.FAILED))
