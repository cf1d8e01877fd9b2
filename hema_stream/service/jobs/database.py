"""The database: opened, brought up to date, and set up so that what was committed survives a loss of power."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from hema_stream.core.errors import HemaError
from hema_stream.service.outage import outage_of

MIGRATIONS = Path(__file__).with_name("migrations")


class DatabaseError(HemaError):
    """A database that cannot be worked with; ``place`` names it."""

    code = "database"


def open_database(url: str) -> Engine:
    """Open a database by SQLAlchemy's URL and bring its tables up to date.

    Raises:
        DatabaseError: it is damaged, of a newer version, or cannot be reached or written; it is as it was.
    """
    try:
        engine = create_engine(url, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise DatabaseError(str(error), remedy="name the database by a URL of SQLAlchemy's") from error
    place = engine.url.render_as_string(hide_password=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare)
    try:
        with engine.begin() as connection:
            _check(connection, place)
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        remedy = "start the version that wrote it"
        raise DatabaseError(f"was written by another version: {error}", place=place, remedy=remedy) from error
    except DBAPIError as error:
        outage = outage_of(error)
        what, remedy = (outage.detail, "see to it, and start again") if outage else _damaged(str(error.orig))
        raise DatabaseError(what, place=place, remedy=remedy) from error
    return engine


def _check(connection: Connection, place: str) -> None:
    """Look whether a file of SQLite is whole: damaged pages would be met in the midst of the work."""
    if connection.dialect.name != "sqlite":
        return
    found = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
    if found != "ok":
        what, remedy = _damaged(str(found))
        raise DatabaseError(what, place=place, remedy=remedy)


def _damaged(said: str) -> tuple[str, str]:
    return f"is damaged, or no database of this program: {said}", "restore it from a backup; nothing was changed"


def _prepare(connection: DBAPIConnection, record: Any) -> None:
    """Readers beside a writer, writers that wait for each other, and a sync at every commit."""
    cursor = connection.cursor()
    for setting in ("busy_timeout=5000", "journal_mode=WAL", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()
