"""Outages: a disk or database that is busy, full, read-only or away for a while: told by name, and waited out."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain, repeat
from typing import TypeVar

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

FAULTS = (OSError, DBAPIError, PoolTimeout)
"""What may be over by itself."""
WAITS = (0.2, 0.5, 1.0, 2.0)
LONGEST_WAIT = 5.0
"""Seconds between two tries."""
Result = TypeVar("Result")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Outage:
    """What is the matter: for programs, for a person, and as an HTTP status."""

    code: str
    detail: str
    status: int = HTTPStatus.SERVICE_UNAVAILABLE


DISK_FULL = Outage("disk", "the disk has no room for it", HTTPStatus.INSUFFICIENT_STORAGE)
READ_ONLY = Outage("read_only", "the disk cannot be written to just now")
FAILING = Outage("disk_fault", "the disk does not answer as it should")
DESCRIPTORS = Outage("descriptors", "the service has too many files and connections open just now")
BUSY = Outage("database_busy", "the database is held by another program; try again")
FULL = Outage("database_full", "the database has no room to write", HTTPStatus.INSUFFICIENT_STORAGE)
LOCKED = Outage("database_read_only", "the database cannot be written to just now")
AWAY = Outage("database_away", "the database cannot be reached just now")

_BY_NUMBER = {
    errno.ENOSPC: DISK_FULL,
    errno.EDQUOT: DISK_FULL,
    errno.EROFS: READ_ONLY,
    errno.EIO: FAILING,
    errno.EMFILE: DESCRIPTORS,
    errno.ENFILE: DESCRIPTORS,
}
_SQLITE = {
    "SQLITE_BUSY": BUSY,
    "SQLITE_LOCKED": BUSY,
    "SQLITE_PROTOCOL": BUSY,
    "SQLITE_FULL": FULL,
    "SQLITE_READONLY": LOCKED,
    "SQLITE_IOERR": AWAY,
    "SQLITE_CANTOPEN": AWAY,
}
"""Primary result codes, https://sqlite.org/rescode.html."""
_SQLSTATE = {"53100": FULL, "25006": LOCKED, "40": BUSY, "55": BUSY, "08": AWAY, "57": AWAY, "53": AWAY}
"""Codes or their classes, PostgreSQL's Appendix A."""


def outage_of(error: BaseException) -> Outage | None:
    """Which outage an error comes of; None where it is of another kind."""
    if isinstance(error, PoolTimeout):
        return BUSY
    if isinstance(error, DBAPIError):
        return _of_database(error)
    return _BY_NUMBER.get(error.errno or 0) if isinstance(error, OSError) else None


def _of_database(error: DBAPIError) -> Outage | None:
    name, state = getattr(error.orig, "sqlite_errorname", None), getattr(error.orig, "sqlstate", None)
    if name is not None:
        return next((outage for code, outage in _SQLITE.items() if name == code or name.startswith(f"{code}_")), None)
    if state is not None:
        return _SQLSTATE.get(state) or _SQLSTATE.get(state[:2])
    return AWAY if error.connection_invalidated or type(error).__name__ == "OperationalError" else None


def _never() -> bool:
    return False


async def outlast(work: Callable[[], Result], what: str, given_up: Callable[[], bool] = _never) -> Result:
    """Do something in a thread, again and again until no outage stops it.

    Args:
        given_up: asked after each failure; where it says yes, the failure is raised.

    Raises:
        OSError, DBAPIError: it was given up.
    """
    for number, wait in enumerate(chain(WAITS, repeat(LONGEST_WAIT))):
        try:
            return await asyncio.to_thread(work)
        except FAULTS as error:
            if given_up():
                raise
            if number < len(WAITS):
                _log.warning("tried again until it is done", what=what, error=str(error))
        await asyncio.sleep(wait)
    raise AssertionError("unreachable: the waits have no end")
