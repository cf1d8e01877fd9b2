"""Recovery: what a stop of any kind interrupted is finished or queued again, each image once."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hema_stages.sinks.report import Report
from smear import mixed, slide

from hema_stream.service.jobs import Job, JobStore, Status
from hema_stream.service.jobs.database import open_database
from hema_stream.service.recovery import recover


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(open_database(f"sqlite:///{tmp_path / 'service.db'}"))


def interrupted(store: JobStore, name: str, attempts: int = 1) -> None:
    facts: dict[str, Any] = {"origin": "path", "submitted": datetime.now(UTC), "priority": 0}
    store.add(Job(id=name, name=name, path=name, status=Status.RUNNING, attempts=attempts, **facts))


def reported(results: Path, name: str, **changes: Any) -> Any:
    result = mixed(50, image=slide(name=name), **changes)
    stage = Report("report", out=results, overlay=False, geojson=False)
    stage.start()
    stage.process(result, None)
    return result


def status(store: JobStore, name: str) -> str:
    found = store.get(name)
    assert found is not None
    return found.status


def test_what_has_a_report_had_ended(store: JobStore, tmp_path: Path) -> None:
    interrupted(store, "a")
    result = reported(tmp_path, "a")
    recover(store, tmp_path, 5)
    found = store.get("a")
    assert found is not None
    assert found.status == "done"
    assert found.sha256 == sha256((tmp_path / "a" / "report.json").read_bytes()).hexdigest()
    assert found.counts["cells"] == 50
    assert found.progress == {**result.tiles, "planned": 1}


def test_what_was_cancelled_stays_cancelled(store: JobStore, tmp_path: Path) -> None:
    interrupted(store, "a")
    tiles = {"analysed": 1, "background": 0, "rejected": 0, "gap": 0, "cancelled": 3}
    reported(tmp_path, "a", status="partial", tiles=tiles)
    recover(store, tmp_path, 5)
    assert status(store, "a") == "cancelled"


def test_what_has_none_is_queued_again_until_it_was_tried_too_often(store: JobStore, tmp_path: Path) -> None:
    interrupted(store, "a", attempts=4)
    interrupted(store, "b", attempts=5)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".report.json.12.partial").write_bytes(b"half")
    recover(store, tmp_path, 5)
    assert (status(store, "a"), status(store, "b")) == ("queued", "failed")
    found = store.get("b")
    assert found is not None
    assert found.code == "gave_up"


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"null", b'{"summary": {}}', bytes(64)])
def test_a_damaged_report_is_laid_aside_and_its_job_worked_on_again(
    store: JobStore, tmp_path: Path, document: bytes
) -> None:
    interrupted(store, "a")
    interrupted(store, "b")
    reported(tmp_path, "b")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "report.json").write_bytes(document)
    recover(store, tmp_path, 5)
    assert (status(store, "a"), status(store, "b")) == ("queued", "done")
    assert (tmp_path / "a" / "report.json.damaged").read_bytes() == document
