"""Retention: uploads that were never finished, and uploaded images whose time is over. Results are never touched."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from hema_stream.service.jobs import Job, JobStore, Status
from hema_stream.service.jobs.store import Ending
from hema_stream.service.part import Part
from hema_stream.service.quantities import Seconds

EXPIRED = "expired"
"""Code of a job whose upload was not finished in time."""
_log = structlog.get_logger(__name__)


class RetentionLimits(Part):
    """How long uploads are kept, seconds.

    Attributes:
        unfinished: an upload that nobody goes on with.
        images: an uploaded image after its slide ended; None keeps it.
        every: how often it is looked at.
    """

    unfinished: Seconds
    images: Seconds | None
    every: Seconds


def expiry(path: Path, limits: RetentionLimits) -> datetime:
    """When an unfinished upload expires: it counts from the last byte that arrived."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC) + timedelta(seconds=limits.unfinished)


class Retention:
    """Looks through the folder of uploads.

    Args:
        locks: of uploads that a request is writing; they are left alone.
    """

    def __init__(self, uploads: Path, store: JobStore, locks: dict[str, asyncio.Lock], limits: RetentionLimits) -> None:
        self._uploads, self._store, self._locks, self._limits = uploads, store, locks, limits

    async def watch(self) -> None:
        """Look again and again; what goes wrong is logged and tried again."""
        while True:
            try:
                await self.sweep(datetime.now(UTC))
            except Exception:
                _log.exception("retention failed")
            await asyncio.sleep(self._limits.every)

    async def sweep(self, now: datetime) -> None:
        """Remove what is over by now."""
        for path in await asyncio.to_thread(lambda: sorted(self._uploads.iterdir())):
            lock = self._locks.setdefault(path.stem, asyncio.Lock())
            if lock.locked():
                continue
            async with lock:
                await asyncio.to_thread(self._look_at, path, now)
            self._locks.pop(path.stem, None)

    def _look_at(self, path: Path, now: datetime) -> None:
        job = self._store.get(path.stem)
        reason = self._why(path, job, now)
        if reason is None:
            return
        if job is not None and reason == EXPIRED:
            self._store.end(job.id, Ending(Status.CANCELLED, EXPIRED, "the upload was not finished in time"))
        path.unlink(missing_ok=True)
        _log.info("upload removed", job=path.stem, reason=reason)

    def _why(self, path: Path, job: Job | None, now: datetime) -> str | None:
        """Why a file goes; None where it stays."""
        if job is None:
            return "belongs to no job" if expiry(path, self._limits) < now else None
        if job.status == Status.UPLOADING:
            return EXPIRED if expiry(path, self._limits) < now else None
        keep = self._limits.images
        if keep is None or job.finished is None or job.finished + timedelta(seconds=keep) >= now:
            return None
        return "kept long enough"
