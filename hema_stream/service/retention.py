"""Retention: uploads that were never finished, and uploaded images whose time is over.

Only files that a job of this database names are ever touched, and results never.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from hema_stream.service.jobs import Job, JobStore, Origin, Status
from hema_stream.service.jobs.store import Ending
from hema_stream.service.part import Part
from hema_stream.service.quantities import Seconds
from hema_stream.service.uploads import Uploads, queue_if_whole

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
    """Looks through the folder of uploads; those that a request is writing are left alone."""

    def __init__(self, folder: Path, store: JobStore, uploads: Uploads, limits: RetentionLimits) -> None:
        self._folder, self._store, self._uploads, self._limits = folder, store, uploads, limits

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
        for path in await asyncio.to_thread(lambda: sorted(self._folder.iterdir())):
            if not self._uploads.busy(path.stem):
                async with self._uploads.writing(path.stem):
                    await asyncio.to_thread(self._look_at, path, now)

    def _look_at(self, path: Path, now: datetime) -> None:
        job = self._store.get(path.stem)
        if job is None or Path(job.path).name != path.name or job.origin != Origin.UPLOAD:
            return
        reason = self._why(path, job, now)
        if reason is None or (reason == EXPIRED and not self._expired(job)):
            return
        path.unlink(missing_ok=True)
        _log.info("upload removed", job=path.stem, reason=reason)

    def _expired(self, job: Job) -> bool:
        """Give up an upload, if it still waits and is not whole after all."""
        if queue_if_whole(self._store, job):
            return False
        return self._store.end(job.id, Ending(Status.CANCELLED, EXPIRED, "the upload was not finished in time"))

    def _why(self, path: Path, job: Job, now: datetime) -> str | None:
        """Why a file goes; None where it stays."""
        if job.status == Status.UPLOADING:
            return EXPIRED if expiry(path, self._limits) < now else None
        keep = self._limits.images
        if keep is None or job.finished is None or job.finished + timedelta(seconds=keep) >= now:
            return None
        return "kept long enough"
