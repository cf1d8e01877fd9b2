"""A job: one submitted image and what became of it."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Double, String, TypeDecorator
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Status(StrEnum):
    """Where a job stands; ``uploading`` waits for its image."""

    UPLOADING = "uploading"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self in (Status.DONE, Status.REJECTED, Status.FAILED, Status.CANCELLED)


class Origin(StrEnum):
    """Where a job's image comes from."""

    PATH = "path"
    UPLOAD = "upload"
    FOLDER = "folder"
    INGEST = "ingest"


class Utc(TypeDecorator[datetime]):
    """Times in UTC; databases that keep no zone get none and are read as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn into UTC."""
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Mark as UTC."""
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class Base(DeclarativeBase):
    """What the service keeps in its database."""


class Job(Base):
    """One submitted image.

    Attributes:
        number: order of submission; id: what it is called everywhere, the name of its result folder.
        name: what the person called it; shown, never used as a path.
        path: the image; origin: whether it lies in an allowed folder, was uploaded, came from a watched one, or comes
            field by field into a folder.
        mpp: microns a pixel told by the submitter, or None.
        priority: higher ones go first.
        length: bytes of an upload, None for a path.
        attempts: how often it was begun.
        code, message: why it was rejected or failed.
        facts: the slide as it was opened, for the viewer; None before.
        counts, progress: as they stood at its end.
        sha256: of report.json, None where none was written.
    """

    __tablename__ = "jobs"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(String(255))
    path: Mapped[str]
    origin: Mapped[str] = mapped_column(String(8))
    mpp: Mapped[float | None] = mapped_column(Double)
    priority: Mapped[int] = mapped_column(default=0)
    status: Mapped[str] = mapped_column(String(16), index=True)
    length: Mapped[int | None] = mapped_column(BigInteger)
    attempts: Mapped[int] = mapped_column(default=0)
    code: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None]
    facts: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    counts: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)
    progress: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)
    sha256: Mapped[str | None] = mapped_column(String(64))
    submitted: Mapped[datetime] = mapped_column(Utc)
    started: Mapped[datetime | None] = mapped_column(Utc)
    finished: Mapped[datetime | None] = mapped_column(Utc)


class Deleted(Base):
    """A job that was deleted; of it only its ``id`` is kept, to know what is left of it."""

    __tablename__ = "deleted"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)


class Token(Base):
    """A bearer token; only the hash of its secret is kept.

    Attributes:
        id: public part of the token; name: what it is for.
        hash: SHA-256 of the secret part, hex.
        scopes: separated by spaces.
        once: whether it serves a single time, to make the first token.
    """

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    hash: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str] = mapped_column(String(100))
    once: Mapped[bool] = mapped_column(default=False)
    created: Mapped[datetime] = mapped_column(Utc)
