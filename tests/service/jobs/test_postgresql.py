"""Jobs in PostgreSQL: the same promises, over a server of the test's own."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pretend
import pytest
from aiohttp.test_utils import TestClient, TestServer
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine

from hema_stream.service import warm
from hema_stream.service.app import make_app
from hema_stream.service.auth import Scope, TokenStore
from hema_stream.service.jobs import Job, JobStore, Origin, Status
from hema_stream.service.jobs.database import open_database
from hema_stream.service.jobs.job import Base
from hema_stream.service.jobs.store import Ending, JobStateError
from hema_stream.service.parts import DISPATCHER, STORE
from hema_stream.service.settings import ServiceSettings
from hema_stream.service.submission import new_job

PROGRAMS = ("initdb", "postgres", "pg_ctl")
USER = "postgres"


def _missing() -> str:
    """Why no server can be started here; empty where one can."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed"
    lacking = [name for name in PROGRAMS if _program(name) is None]
    if lacking:
        return f"PostgreSQL is not installed: {', '.join(lacking)}"
    return "" if os.geteuid() or _exists(USER) else f"root may not run it, and there is no user {USER}"


def _program(name: str) -> str | None:
    found = shutil.which(name)
    return found or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None)


def _exists(user: str) -> bool:
    return subprocess.run(["id", user], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(bool(_missing()), reason=_missing() or "there is a server")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a socket of its own; the URL of its database."""
    folder = Path("/tmp") / f"hema-pg-{os.getpid()}"  # a socket's path must be short
    folder.mkdir()
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
        who = {"user": USER}
    quiet = {"check": True, "capture_output": True, "timeout": 60, "cwd": folder, **who}
    data = str(folder / "data")
    subprocess.run([str(_program("initdb")), "-D", data, "-U", USER, "-A", "trust", "--no-sync"], **quiet)
    options = f"-k {folder} -c listen_addresses= -c fsync=off"
    log = str(folder / "log")
    subprocess.run([str(_program("pg_ctl")), "-D", data, "-o", options, "-l", log, "-w", "start"], **quiet)
    try:
        yield f"postgresql+psycopg://{USER}@/{USER}?host={folder}"
    finally:
        subprocess.run([str(_program("pg_ctl")), "-D", data, "-m", "immediate", "-w", "stop"], **quiet)
        shutil.rmtree(folder)


@pytest.fixture
def engine(server: str) -> Iterator[Engine]:
    made = open_database(server)
    with made.begin() as connection:
        for table in Base.metadata.sorted_tables:
            connection.execute(table.delete())
    yield made
    made.dispose()


@pytest.fixture
def store(engine: Engine) -> JobStore:
    return JobStore(engine)


def job(name: str, **changes: Any) -> Job:
    facts = {"origin": "path", "status": Status.QUEUED, "priority": 0, "submitted": datetime.now(UTC)}
    return Job(id=name, name=f"{name}.png", path=f"/smears/{name}.png", **{**facts, **changes})


def test_the_migrations_make_what_the_models_say(engine: Engine, server: str) -> None:
    open_database(server).dispose()
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_a_job_is_claimed_once_by_however_many_ask(store: JobStore) -> None:
    for number in range(60):
        store.add(job(f"j{number}", priority=number % 3))
    with ThreadPoolExecutor(8) as pool:
        claimed = [taken.id for taken in pool.map(lambda _: store.claim(), range(90)) if taken]
    left = []
    while taken := store.claim():
        left.append(taken.id)
    assert sorted([*claimed, *left]) == sorted(f"j{number}" for number in range(60))
    assert {running.attempts for running in store.running()} == {1}


def test_the_urgent_go_first_and_then_the_oldest(store: JobStore) -> None:
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5)):
        store.add(job(name, priority=priority))
    assert [taken.id for _ in range(4) if (taken := store.claim())] == ["b", "d", "a", "c"]


def test_a_job_lives_from_its_upload_to_its_end(store: JobStore) -> None:
    store.add(job("a", status=Status.UPLOADING, origin="upload", length=1 << 40))
    store.uploaded("a")
    assert store.claim() is not None
    store.opened("a", {"width": 3})
    store.end("a", Ending(Status.DONE, counts={"cells": 3}, progress={"analysed": 1}, sha256="ab"))
    store.end("a", Ending(Status.FAILED, code="late"))
    found = store.get("a")
    assert found is not None
    assert (found.status, found.code, found.counts, found.facts) == ("done", None, {"cells": 3}, {"width": 3})
    assert found.length == 1 << 40
    assert found.finished is not None
    assert found.finished.tzinfo is not None
    with pytest.raises(JobStateError):
        store.withdraw("a")


def test_jobs_are_listed_in_pages_by_name_and_status(store: JobStore) -> None:
    for number in range(5):
        store.add(job(f"Smear{number}"))
    store.add(job("other_%"))
    assert [found.id for found in store.page(text="sMEAR", limit=2).jobs] == ["Smear4", "Smear3"]
    assert [found.id for found in store.page(text="_%").jobs] == ["other_%"]
    assert store.counts() == {"queued": 6}


def test_tokens_are_made_checked_and_taken_back(engine: Engine) -> None:
    tokens = TokenStore(engine)
    first = tokens.first()
    assert first is not None
    assert tokens.use_up(first)
    assert not tokens.use_up(first)
    made = tokens.create("mine", [Scope.READ])
    principal = tokens.check(made)
    assert principal is not None
    assert tokens.revoke(principal.id)
    assert tokens.check(made) is None


async def test_a_service_runs_on_it_and_goes_on_after_a_stop(
    engine: Engine, server: str, settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "build_pipeline", pretend.build)
    for name in ("a.png", "slow-1.png"):
        (settings.roots[0] / name).write_bytes(b"picture")
    kept = replace(settings, database=server)
    app = await make_app(kept)
    store = app[STORE]
    async with TestClient(TestServer(app)):
        for name in ("a.png", "slow-1.png"):
            store.add(new_job(name, settings.roots[0] / name, Origin.PATH, mpp=None, priority=0))
        app[DISPATCHER].wake()
        await _until(lambda: store.counts() == {"done": 1, "running": 1})
        app[DISPATCHER].pipeline._stage("tally").go.set()
        monkeypatch.setattr(app[DISPATCHER], "_slide_ended", lambda *_: None)
    assert store.counts() == {"done": 1, "queued": 1}
    again = await make_app(kept)
    async with TestClient(TestServer(again)):
        again[DISPATCHER].pipeline._stage("tally").go.set()
        await _until(lambda: store.counts() == {"done": 2})
    assert not list(settings.data.glob("*.db"))


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.02)
