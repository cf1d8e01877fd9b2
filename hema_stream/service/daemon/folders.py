"""Watched folders: each claimed file becomes a job, and its end the file's verdict, however often the daemon stops."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import structlog

from hema_stream.service.daemon.claims import Claim, Watch
from hema_stream.service.daemon.config import FolderConfig
from hema_stream.service.daemon.standing import FolderStanding
from hema_stream.service.disk import Disk
from hema_stream.service.dispatch import Dispatcher
from hema_stream.service.jobs import Job, JobStore, Origin, Status
from hema_stream.service.submission import new_job

LOOK = 0.5
"""Seconds between two looks at whether a job has ended."""
_log = structlog.get_logger(__name__)


class WatchedFolder:
    """One folder: claims while there is room, and gives each file its verdict."""

    def __init__(
        self, config: FolderConfig, watch: Watch, store: JobStore, dispatcher: Dispatcher, disk: Disk, retry: float
    ) -> None:
        self._config, self._watch, self._retry = config, watch, retry
        self._store, self._dispatcher, self._disk = store, dispatcher, disk
        self.standing = FolderStanding(config.path)
        self._room = asyncio.Semaphore(config.ahead)
        self._followed: dict[Path, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Claim whenever the disk has room, until cancelled; a folder that goes away is tried again."""
        try:
            while True:
                await self._disk.until(low=False)
                self.standing.state, self.standing.why = "watching", ""
                await self._claim_until_low()
        finally:
            await _cancelled(*self._followed.values())

    async def _claim_until_low(self) -> None:
        claiming, low = asyncio.create_task(self._claim()), asyncio.create_task(self._disk.until(low=True))
        try:
            await asyncio.wait({claiming, low}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancelled(claiming, low)
        if claiming.cancelled():
            self.standing.state = "waiting"
            return
        error = claiming.exception() or RuntimeError("the watch ended")
        _log.error("folder cannot be watched", folder=str(self._config.path), error=str(error))
        self.standing.state, self.standing.why = "unreachable", str(error)
        await asyncio.sleep(self._retry)

    async def _claim(self) -> None:
        """Take one file after the other, never more than ``ahead`` that have not ended."""
        async with aclosing(self._watch(self._config.path)) as claims:
            while True:
                await self._room.acquire()
                try:
                    taken = await self._adopt(await anext(claims))
                except BaseException:
                    self._room.release()
                    raise
                if not taken:
                    self._room.release()

    async def _adopt(self, claim: Claim) -> bool:
        """Make a claim a job, or find the job that it became before a stop; False where it is followed already."""
        if claim.path in self._followed:
            return False
        job = await asyncio.to_thread(self._job_of, claim)
        self._dispatcher.wake()
        self.standing.claimed += 1
        _log.info("claimed", folder=str(self._config.path), file=claim.name, job=job.id)
        task = asyncio.create_task(self._follow(claim, job.id))
        self._followed[claim.path] = task
        task.add_done_callback(lambda _: self._leave(claim))
        return True

    def _job_of(self, claim: Claim) -> Job:
        """The job of a claimed file; an ended one of the same path is another file's if this one came after its end."""
        found = self._store.of_path(claim.path)
        claimed = datetime.fromtimestamp(claim.path.lstat().st_ctime, UTC)
        if found is not None and (found.finished is None or claimed <= found.finished):
            return found
        config = self._config
        return self._store.add(new_job(claim.name, claim.path, Origin.FOLDER, mpp=config.mpp, priority=config.priority))

    def _leave(self, claim: Claim) -> None:
        self._followed.pop(claim.path, None)
        self._room.release()

    async def _follow(self, claim: Claim, job_id: str) -> None:
        """Wait for the job's end and give the verdict; one that cannot be given is given by the next start."""
        try:
            job = await self._end_of(job_id)
            place = await self._verdict(claim, job)
            await asyncio.to_thread(self._store.moved, job_id, place)
        except Exception as error:
            _log.error("verdict cannot be given", file=str(claim.path), job=job_id, error=str(error))

    async def _end_of(self, job_id: str) -> Job | None:
        """The job once it has ended; None where it was deleted."""
        while True:
            job = await asyncio.to_thread(self._store.get, job_id)
            if job is None or Status(job.status).over:
                return job
            await asyncio.sleep(LOOK)

    async def _verdict(self, claim: Claim, job: Job | None) -> Path:
        if job is not None and job.status == Status.DONE:
            self.standing.done += 1
            return await claim.done()
        self.standing.failed += 1
        if job is None:
            return await claim.failed("deleted: the slide was deleted before it was analysed")
        return await claim.failed(f"{job.code or job.status}: {job.message or f'the slide was {job.status}'}")


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
