"""Uploads on the disk: one writer at a time, the newest; and one that is whole is queued, whoever finds it so."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path

from hema_stream.service.jobs import Job, JobStore, Origin, Status
from hema_stream.service.jobs.store import JobStateError
from hema_stream.service.problems import ProblemError

GIVING_WAY = 10.0
"""Seconds that a request which is taken over may take to write down what it has."""


class Uploads:
    """Who is writing which upload."""

    def __init__(self) -> None:
        self._writers: dict[str, list[asyncio.Event]] = {}
        self._freed = asyncio.Condition()

    def busy(self, upload: str) -> bool:
        """Whether somebody is writing it, or about to."""
        return upload in self._writers

    @asynccontextmanager
    async def writing(self, upload: str) -> AsyncIterator[asyncio.Event]:
        """Wait for one's turn to write an upload; yields an event that is set when a newer request wants to.

        A request whose client is gone without a word gives way to the one that its client sends next.

        Raises:
            ProblemError: 423, the one before does not give way in time.
        """
        mine, queue = asyncio.Event(), self._writers.setdefault(upload, [])
        for before in queue:
            before.set()
        queue.append(mine)
        try:
            async with asyncio.timeout(GIVING_WAY), self._freed:
                await self._freed.wait_for(lambda: queue[0] is mine)
            yield mine
        except TimeoutError as error:
            raise ProblemError(HTTPStatus.LOCKED, "locked", "another request is writing this upload") from error
        finally:
            queue.remove(mine)
            if not queue:
                self._writers.pop(upload, None)
            async with self._freed:
                self._freed.notify_all()


def queue_if_whole(store: JobStore, job: Job) -> bool:
    """Queue a job whose image has arrived to its last byte; False where it has not, or is no longer waited for."""
    if job.origin != Origin.UPLOAD or job.status != Status.UPLOADING or not is_whole(job):
        return False
    _sync(Path(job.path), os.O_RDONLY)
    with suppress(JobStateError):  # another request found it first, or it was cancelled
        store.uploaded(job.id)
        return True
    return False


def is_whole(job: Job) -> bool:
    """Whether every byte that was announced is there."""
    try:
        return Path(job.path).stat().st_size == job.length
    except OSError:
        return False


def queue_whole(store: JobStore) -> None:
    """After a start: queue what had arrived whole when the last one stopped."""
    for job in store.waiting():
        queue_if_whole(store, job)


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries onto the disk."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
