"""Outages: told by what a database or a disk says, and waited out."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from hema_stream.service import outage
from hema_stream.service.outage import outage_of, outlast


@pytest.mark.parametrize(
    ("number", "code", "status"),
    [
        (errno.ENOSPC, "disk", 507),
        (errno.EDQUOT, "disk", 507),
        (errno.EROFS, "read_only", 503),
        (errno.EMFILE, "descriptors", 503),
        (errno.EIO, "disk_fault", 503),
    ],
)
def test_a_disk_is_known_by_its_number(number: int, code: str, status: int) -> None:
    found = outage_of(OSError(number, "no"))
    assert found is not None
    assert (found.code, found.status) == (code, status)


def test_defects_are_none() -> None:
    assert [outage_of(error) for error in (ValueError("x"), FileNotFoundError(2, "x"), OSError("x"))] == [None] * 3


SETTINGS = {"full": "PRAGMA max_page_count=3", "read_only": "PRAGMA query_only=1"}


def _fill(path: Path, setting: str) -> None:
    with create_engine(f"sqlite:///{path}").begin() as connection:
        connection.execute(text("PRAGMA busy_timeout=0"))
        connection.execute(text(setting))
        for _ in range(50):
            connection.execute(text("INSERT INTO t VALUES (zeroblob(4096))"))


def faulty(path: Path, harm: str) -> DBAPIError:
    """What a database that is really busy, full, read-only or gone says."""
    with create_engine(f"sqlite:///{path}").begin() as connection:
        connection.execute(text("CREATE TABLE t (x)"))
    holder = sqlite3.connect(path, isolation_level=None)
    if harm == "busy":
        holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(DBAPIError) as raised:
        _fill(path.parent / "none" / "x.db" if harm == "gone" else path, SETTINGS.get(harm, "PRAGMA busy_timeout=0"))
    holder.close()
    return raised.value


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        ("busy", "database_busy"),
        ("full", "database_full"),
        ("read_only", "database_read_only"),
        ("gone", "database_away"),
    ],
)
def test_a_database_is_known_by_its_code(tmp_path: Path, harm: str, code: str) -> None:
    found = outage_of(faulty(tmp_path / "a.db", harm))
    assert found is not None
    assert found.code == code


async def test_it_is_waited_out_unless_it_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "WAITS", (0.0,) * 3)
    left = [OSError(errno.ENOSPC, "full")] * 3

    def work() -> str:
        if left:
            raise left.pop()
        return "done"

    assert await outlast(work, "it") == "done"
    left = [OSError(errno.ENOSPC, "full")]
    with pytest.raises(OSError, match="full"):
        await outlast(work, "it", lambda: True)
