"""Databases: a file of SQLite, and a PostgreSQL server of the tests' own where one can be started."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from hema_stream.service.jobs import JobStore
from hema_stream.service.jobs.database import open_database
from hema_stream.service.jobs.job import Base

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


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a socket of its own; the URL of its database."""
    if lacking := _missing():
        pytest.skip(lacking)
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
def postgresql(server: str) -> Iterator[Engine]:
    """The server's database, empty."""
    made = open_database(server)
    with made.begin() as connection:
        for table in Base.metadata.sorted_tables:
            connection.execute(table.delete())
    yield made
    made.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Each of the two databases in turn."""
    if request.param == "postgresql":
        yield request.getfixturevalue("postgresql")
        return
    made = open_database(f"sqlite:///{tmp_path / 'service.db'}")
    yield made
    made.dispose()


@pytest.fixture
def store(engine: Engine) -> JobStore:
    return JobStore(engine)
