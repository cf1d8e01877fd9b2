"""Nothing is begun or removed beside data that the database does not know."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hema_stream.core.scan_folder import DECLARATION
from hema_stream.service.app import make_app
from hema_stream.service.custody import CustodyError
from hema_stream.service.jobs.database import DatabaseError, open_database
from hema_stream.service.parts import STORE
from hema_stream.service.settings import ServiceSettings


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and "service.db" not in path.name)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


async def analysed(settings: ServiceSettings, started: Any, count: int = 1) -> list[str]:
    async with started(settings) as service:
        slides = [await service.submit(f"a{number}.png") for number in range(count)]
        for slide in slides:
            await service.until(slide, "done")
    return slides


def removed(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def emptied(path: Path) -> None:
    removed(path)
    path.touch()


def another(path: Path) -> None:
    removed(path)
    open_database(f"sqlite:///{path}").dispose()


@pytest.mark.parametrize("harm", [removed, emptied, another])
async def test_a_database_that_knows_nothing_of_the_data_is_refused_and_nothing_is_touched(
    settings: ServiceSettings, started: Any, harm: Callable[[Path], None]
) -> None:
    (slide,) = await analysed(settings, started)
    harm(settings.data / "service.db")
    before = contents(settings.data)
    for _ in range(2):
        with pytest.raises(CustodyError, match=slide):
            await make_app(settings)
    assert contents(settings.data) == before


async def test_an_older_database_is_refused_until_the_right_one_is_back(
    settings: ServiceSettings, started: Any, tmp_path: Path
) -> None:
    database = settings.data / "service.db"
    await analysed(settings, started)
    shutil.copy(database, tmp_path / "backup.db")
    await analysed(settings, started)
    newer = database.read_bytes()
    removed(database)
    shutil.copy(tmp_path / "backup.db", database)
    with pytest.raises(CustodyError, match="1 slide of which"):
        await make_app(settings)
    removed(database)
    database.write_bytes(newer)
    async with started(settings) as service:
        assert service.app[STORE].counts() == {"done": 2}


@pytest.mark.parametrize("place", ["uploads/0123456789abcdef.png", f"scans/0123456789abcdef/{DECLARATION}"])
async def test_uploads_and_scans_count_too(settings: ServiceSettings, place: str) -> None:
    path = settings.data / place
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{}")
    with pytest.raises(CustodyError):
        await make_app(settings)
    assert path.read_bytes() == b"{}"


async def test_what_is_no_slide_is_left_alone(settings: ServiceSettings, started: Any) -> None:
    for place in ("uploads/notes.txt", "uploads/fedcba9876543210.png", "results/0123456789abcdef/.report.json.partial"):
        (settings.data / place).parent.mkdir(parents=True, exist_ok=True)
        (settings.data / place).write_bytes(b"" if "fedc" in place else b"x")
    before = contents(settings.data)
    await analysed(settings, started, 0)
    assert contents(settings.data) == before


async def test_a_deletion_that_a_stop_interrupted_is_finished_by_the_next_start(
    settings: ServiceSettings, started: Any
) -> None:
    (slide,) = await analysed(settings, started)
    async with started(settings) as service:
        service.app[STORE].delete(slide)  # and here the service is killed
    assert (settings.results / slide).exists()
    await analysed(settings, started, 0)
    assert not (settings.results / slide).exists()


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:8192] + b"U" * 4096 + path.read_bytes()[12288:])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage!" * 1024)


def newer(path: Path) -> None:
    engine = open_database(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()


@pytest.mark.parametrize(
    ("harm", "why"), [(damaged, "damaged"), (cut, "damaged"), (garbage, "damaged"), (newer, "another version")]
)
async def test_a_database_that_cannot_be_worked_with_is_refused_by_its_reason(
    settings: ServiceSettings, started: Any, harm: Callable[[Path], None], why: str
) -> None:
    await analysed(settings, started)
    database = settings.data / "service.db"
    harm(database)
    before = database.read_bytes()
    with pytest.raises(DatabaseError, match=why):
        await make_app(settings)
    assert database.read_bytes() == before


def test_a_database_that_cannot_be_reached_is_refused_by_its_reason(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="cannot be reached"):
        open_database(f"sqlite:///{tmp_path / 'none' / 'a.db'}")
    with pytest.raises(DatabaseError, match="URL"):
        open_database("nonsense")
