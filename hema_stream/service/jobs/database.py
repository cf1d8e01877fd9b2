"""The database: opened, brought up to date, and set up so that what was committed survives a loss of power."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

MIGRATIONS = Path(__file__).with_name("migrations")


def open_database(url: str) -> Engine:
    """Open a database by SQLAlchemy's URL and bring its tables up to date."""
    engine = create_engine(url, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return engine


def _prepare(connection: DBAPIConnection, record: Any) -> None:
    """Readers beside a writer, writers that wait for each other, and a sync at every commit."""
    cursor = connection.cursor()
    for setting in ("journal_mode=WAL", "busy_timeout=5000", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()
