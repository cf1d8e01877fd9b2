"""Watched folders: each claimed file becomes a job, and its end the file's verdict, however often the daemon stops."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path

import structlog

from hema_stream.service.daemon.claims import Claim, Watch
from hema_stream.service.daemon.config import FolderConfig
from hema_stream.service.daemon.standing import FolderStanding
from hema_stream.service.disk import Disk
from hema_stream.service.dispatch import Dispatcher
from hema_stream.service.jobs import Job, JobStore, Origin, Status
from hema_stream.service.jobs.store import JobStateError
from hema_stream.service.outage import outage_of, outlast
from hema_stream.service.owner import Owner
from hema_stream.service.recovery import recover
from hema_stream.service.submission import new_job
from hema_stream.service.watch.claims import shown

LOOK = 0.5
"""Seconds between two looks at whether a job has ended."""
KEY = re.compile(r"[0-9a-z]{8,40}")
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
        self._followed: set[asyncio.Task[None]] = set()
        self._again = asyncio.Event()
        self.owner = Owner(config.path)
        self._owed = 0

    async def run(self) -> None:
        """Watch until cancelled; a folder that goes away is tried again."""
        try:
            while True:
                try:
                    await self._claim()
                    self._unreachable(RuntimeError("the watch ended"))
                except Exception as error:
                    self._unreachable(error)
                await asyncio.sleep(self._retry)
                # A new watch claims anew what has no verdict: nothing may be under way by then.
                self._again.set()
                await asyncio.gather(*self._followed)
                self._again.clear()
        finally:
            await _cancelled(self._followed)
            self.owner.let_go()

    def _unreachable(self, error: Exception) -> None:
        _log.error("folder cannot be watched", folder=str(self._config.path), error=str(error))
        self.standing.state, self.standing.why = "unreachable", str(error)

    async def _claim(self) -> None:
        """Take one file after the other, never more than ``ahead`` that have not ended, none while the disk is low."""
        await asyncio.to_thread(self.owner.take)
        async with aclosing(self._watch(self._config.path, lambda: not self._disk.low)) as claims:
            self.standing.state, self.standing.why = "watching", ""
            while True:
                await self._room.acquire()
                try:
                    claim = await anext(claims, None)
                    if claim is None:
                        return
                    if not await self._adopt(claim):
                        self._room.release()
                except BaseException:
                    self._room.release()
                    raise

    async def _adopt(self, claim: Claim) -> bool:
        """Make a claim a job, or find the job that it became before a stop; False where it is no claim of ours."""
        try:
            job = await outlast(partial(self._job_of, claim), "a claimed file's job")
        except UnicodeError:
            await claim.failed("name", "its name is not UTF-8: rename it")
            return False
        if job is None:
            await claim.failed("not_claimed", "it lies among claimed files and was not claimed by this program")
            return False
        self._dispatcher.wake()
        self.standing.claimed += 1
        _log.info("claimed", folder=str(self._config.path), file=shown(claim.name), job=job.id)
        task = asyncio.create_task(self._follow(claim))
        self._followed.add(task)
        task.add_done_callback(self._leave)
        return True

    def _job_of(self, claim: Claim) -> Job | None:
        """The job of a claim, which is called by the claim's key: so there is one, whatever stopped when.

        Keys are names of folders that others may write to: one that no claim makes, or that is another job's, is none.
        """
        if not KEY.fullmatch(claim.key):
            return None
        found = self._store.get(claim.key)
        if found is not None and found.origin != Origin.FOLDER:
            return None
        if found is not None:
            self._store.moved(found.id, claim.path)
            if found.status == Status.UPLOADING:
                with suppress(JobStateError):  # cancelled in this moment: then that is its end
                    self._store.uploaded(found.id)
            return found
        config = self._config
        job = new_job(claim.name, claim.path, Origin.FOLDER, mpp=config.mpp, priority=config.priority)
        job.id = claim.key
        return self._store.add(job)

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._followed.discard(task)
        if self._owed:
            self._owed -= 1
        else:
            self._room.release()

    async def _follow(self, claim: Claim) -> None:
        """Wait for the job's end and give the verdict, again and again where the disk or the database fails."""
        try:
            job = await self._end_of(claim.key)
            place = await self._given(claim, job)
            if place is not None:
                await outlast(partial(self._store.moved, claim.key, place), "where a file lies")
            self._count(job)
        except Exception as error:
            _log.error("verdict cannot be given", file=shown(claim.path), job=claim.key, error=str(error))

    async def _given(self, claim: Claim, job: Job | None) -> Path | None:
        """Give the verdict once the file can be moved; a new watch hands the file out again, so it waits no longer.

        Where the disk is full or away, other files would fare no better and wait with it; a file that alone cannot be
        moved takes no other's place.
        """
        told = apart = False
        try:
            while True:
                try:
                    return await self._verdict(claim, job)
                except OSError as error:
                    if isinstance(error, FileNotFoundError) or self._again.is_set():
                        raise
                    if not told:
                        _log.warning("verdict waits", file=shown(claim.path), job=claim.key, error=str(error))
                    told = True
                    if not apart and outage_of(error) is None:
                        apart = True
                        self._room.release()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._retry):
                        await self._again.wait()
        finally:
            if apart:
                self._owed += 1

    async def _end_of(self, job_id: str) -> Job | None:
        """The job once it has ended; None where it was deleted."""
        while True:
            job = await outlast(partial(self._store.get, job_id), "a look at a job")
            if job is None or Status(job.status).over:
                return job
            await asyncio.sleep(LOOK)

    async def _verdict(self, claim: Claim, job: Job | None) -> Path | None:
        if job is not None and job.status == Status.DONE:
            return await claim.done()
        if job is None:
            return await claim.failed("deleted", "the slide was deleted before it was analysed")
        return await claim.failed(job.code or job.status, job.message or f"the slide was {job.status}")

    def _count(self, job: Job | None) -> None:
        if job is not None and job.status == Status.DONE:
            self.standing.done += 1
        else:
            self.standing.failed += 1


def set_aside(store: JobStore, results: Path, attempts: int) -> None:
    """Before a start: what was under way when the last one stopped waits until its folder hands its file out again."""
    recover(store, results, attempts, (Origin.FOLDER,))
    store.set_aside()


async def _cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    waiting = list(tasks)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
