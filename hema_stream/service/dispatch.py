"""Dispatch: jobs from the database into the warm pipeline, the most urgent first, and their ends back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from hema_stream.core.errors import HemaError
from hema_stream.core.field import Scan
from hema_stream.core.slide import InputImage, Slide
from hema_stream.service.artefacts import report_digest, report_url
from hema_stream.service.facts import facts_of
from hema_stream.service.hub import LiveHub
from hema_stream.service.jobs import Job, JobStore, Origin, Status
from hema_stream.service.jobs.store import Ending
from hema_stream.service.live import End
from hema_stream.service.outage import FAULTS, Result, outlast
from hema_stream.service.recovery import recover
from hema_stream.service.settings import ServiceSettings
from hema_stream.service.submission import read_from
from hema_stream.service.tasks import Tasks, endless
from hema_stream.service.warm import WarmPipeline

RETRY_AFTER = 5.0
"""Seconds before a pipeline that failed is begun anew."""

INTERRUPTED = HemaError("its fields are gone from the disk", remedy="scan the slide again", code="interrupted")

WITH_FILES = (Origin.PATH, Origin.UPLOAD, Origin.FOLDER)
"""Origins whose image lies whole on the disk, so that it can simply be queued again."""

_log = structlog.get_logger(__name__)


class Dispatcher:
    """Keeps the pipeline busy with what is queued.

    Attributes:
        pipeline: the warm one.
        ended: number of slides by how they ended, since the start.
    """

    def __init__(self, settings: ServiceSettings, store: JobStore, hub: LiveHub) -> None:
        self._settings, self._store, self._hub = settings, store, hub
        hub.on_opened = self._slide_opened
        self.on_ended: Callable[[str, End], None] = lambda slide, end: None
        self.resume: Callable[[list[Job]], Awaitable[None]] = _no_scans
        self.pipeline = WarmPipeline(settings, hub, self._slide_ended, self._pipeline_failed)
        self.ended: dict[str, int] = {}
        self._open: set[str] = set()
        self._unwanted: set[str] = set()
        self._ending: set[str] = set()
        self._scans: set[str] = set()
        self._failures = 0
        self._held = self._stopping = self._faltering = False
        self._woken = asyncio.Event()
        self._dispatching: asyncio.Task[None] | None = None
        self._tasks = Tasks("dispatch")

    @property
    def ready(self) -> bool:
        """Whether slides are being worked on, or would be."""
        return self.pipeline.running and self.alive and not self._faltering

    @property
    def alive(self) -> bool:
        """Whether jobs are looked after, be it that the pipeline is just begun anew."""
        return self._dispatching is not None and not self._dispatching.done()

    async def start(self) -> None:
        """Put right what the last stop interrupted, start the pipeline, and begin.

        Raises:
            FlowError, HemaError: the pipeline cannot be started.
        """
        await asyncio.to_thread(recover, self._store, self._settings.results, self._settings.limits.jobs.attempts)
        await self.pipeline.start()
        await self._resume_scans()
        self._dispatching = self._tasks.spawn(endless("dispatch", self._dispatch))
        self.wake()

    async def stop(self) -> None:
        """Begin nothing more and stop; what is under way is queued again: nobody is given up for a stop like this."""
        self._stopping = True
        if self._dispatching is not None:
            self._dispatching.cancel()
            await asyncio.gather(self._dispatching, return_exceptions=True)
        await self.pipeline.stop(self._settings.limits.jobs.grace)
        await self._tasks.settle()
        try:
            await asyncio.to_thread(recover, self._store, self._settings.results, None, WITH_FILES)
        except FAULTS as error:  # the next start does the same
            _log.error("what was under way cannot be queued again now", error=str(error))

    def hold(self, held: bool) -> None:
        """Begin nothing more until this is taken back."""
        self._held = held
        self.wake()

    async def settle(self, seconds: float) -> None:
        """Begin nothing more, and let what is under way end by itself for a while."""
        self.hold(True)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._nothing_open()

    def wake(self) -> None:
        """Say that something may be queued, or that there may be room."""
        self._woken.set()

    def begin_scan(self, job: Job, scan: Scan) -> None:
        """Open a slide whose fields a scanner is about to send; its job is marked as running."""
        self._scans.add(job.id)
        self._hub.begin(job.id, job.name)
        self.pipeline.open_scan(job.id, scan, job.priority)

    def knows_scan(self, job_id: str) -> bool:
        """Whether a scan was opened in the pipeline and has not ended."""
        return job_id in self._scans

    def lose_scan(self, job: Job, why: str = "") -> None:
        """End a scan of which nothing is left to go on with, or what is cannot be read."""
        self._hub.begin(job.id, job.name)
        damaged = HemaError(f"cannot be gone on with: {why}", remedy=INTERRUPTED.remedy, code="damaged")
        self._slide_ended(job.id, Status.FAILED, damaged if why else INTERRUPTED)

    async def fail_scan(self, slide: str, error: Exception) -> None:
        """End a scan that something here has failed."""
        self._slide_ended(slide, Status.FAILED, error)
        if self.pipeline.running:
            await self.pipeline.cancel(slide)

    async def cancel(self, job_id: str) -> None:
        """Cancel a job, waiting or under way.

        Raises:
            JobStateError: it has ended.
        """
        self._unwanted.add(job_id)
        try:
            withdrawn = await asyncio.to_thread(self._store.withdraw, job_id)
        except Exception:
            self._unwanted.discard(job_id)
            raise
        if withdrawn:
            self._unwanted.discard(job_id)
            self._hub.finish(job_id, Status.CANCELLED, None, None)
        elif self.pipeline.running and not await self.pipeline.cancel(job_id):
            self._slide_ended(job_id, Status.CANCELLED, None)

    def _slide_opened(self, slide: Slide) -> None:
        """Keep what a slide was opened as."""
        _log.info("opened", job=slide.id, width=slide.width, height=slide.height)
        self._tasks.spawn(self._write(partial(self._store.opened, slide.id, facts_of(slide)), "facts of a slide"))

    async def _write(self, work: Callable[[], Result], what: str) -> Result:
        """Write to the database, in the end: an outage is waited out, but a stop is not held up."""
        return await outlast(work, what, lambda: self._stopping)

    async def _dispatch(self) -> None:
        self._faltering = True
        await asyncio.to_thread(self._claimed_in_vain)
        self._faltering = False
        while True:
            # Cleared before looking: what is queued while the database answers must not go unheard.
            self._woken.clear()
            while self.pipeline.running and not self._held and len(self._open) < self._settings.limits.jobs.open:
                failures = self._failures
                job = await asyncio.to_thread(self._store.claim)
                if job is None:
                    break
                try:
                    await self._begin_in_turn(job, failures)
                except Exception:
                    await self._write(partial(self._store.requeue, job.id), "a job that could not be begun")
                    self._open.discard(job.id)
                    raise
            await self._woken.wait()

    def _claimed_in_vain(self) -> None:
        """Queue again what was claimed while the answer was lost, as when the database goes away in that moment."""
        for job in self._store.running():
            if job.origin in WITH_FILES and job.id not in self._open | self._ending:
                self._store.requeue(job.id)

    async def _begin_in_turn(self, job: Job, failures: int) -> None:
        """Begin a job; one that never ended before runs alone, so that if it takes all down, it is the only one."""
        if job.attempts <= self._settings.limits.jobs.together:
            await self._begin(job, failures)
            return
        await self._nothing_open()
        await self._begin(job, failures)
        await self._nothing_open()

    async def _nothing_open(self) -> None:
        while self._open:
            self._woken.clear()
            await self._woken.wait()

    async def _begin(self, job: Job, failures: int) -> None:
        """Hand a job to the pipeline, if that is still the one for which the job was claimed."""
        self._open.add(job.id)
        self._hub.begin(job.id, job.name)
        try:
            path = await asyncio.to_thread(self._still_allowed, job)
        except HemaError as error:
            self._slide_ended(job.id, Status.REJECTED, error)
            return
        if job.id in self._unwanted:
            self._slide_ended(job.id, Status.CANCELLED, None)
        elif failures != self._failures or not self.pipeline.running:
            await asyncio.to_thread(self._store.requeue, job.id)
            self._open.discard(job.id)
        else:
            self.pipeline.offer(InputImage(job.id, path, job.mpp), job.priority)

    def _still_allowed(self, job: Job) -> Path:
        """Look at the path again: what it names may have changed since it was submitted."""
        return read_from(job, self._settings)

    def _slide_ended(self, slide: str, status: str, error: BaseException | None) -> None:
        if slide in self._ending:
            return  # it has ended, and that is just being written down: what ended it first counts
        self._ending.add(slide)
        # In a task, so that everything that the pipeline told before is in the hub by then.
        self._tasks.spawn(self._write_end(slide, status, error))

    async def _write_end(self, slide: str, status: str, error: BaseException | None) -> None:
        try:
            digest = await self._write(partial(report_digest, self._settings.results / slide), "a report's digest")
            counts, progress = self._hub.counts(slide)
            code = getattr(error, "code", type(error).__name__) if error else None
            message = _told(error) if error else None
            ending = Ending(Status(status), code, message, counts, progress, digest)
            await self._write(partial(self._store.end, slide, ending), "a job's end")
            self.ended[status] = self.ended.get(status, 0) + 1
            _log.info("ended", job=slide, status=status, code=code, cells=counts.get("cells", 0))
            end = self._hub.finish(slide, status, report_url(slide) if digest else None, digest)
            self.on_ended(slide, end)
        finally:
            # An end that a stop came before is put right by the next start.
            self._open.discard(slide)
            self._ending.discard(slide)
            self._scans.discard(slide)
            self._unwanted.discard(slide)
            self.pipeline.forget_scan(slide)
            self.wake()

    def _pipeline_failed(self, error: BaseException) -> None:
        self._failures += 1
        self._tasks.spawn(self._begin_anew())

    async def _begin_anew(self) -> None:
        """Queue again what was open, and start a pipeline again until one runs."""
        attempts, ending = self._settings.limits.jobs.attempts, frozenset(self._ending)
        put_right = partial(recover, self._store, self._settings.results, attempts, known=ending)
        await self._write(put_right, "what went down with the pipeline")
        for slide in (self._open | self._scans) - ending:
            await self._tell_end(slide)
        self._open &= ending
        self._scans &= ending
        while not self.pipeline.running:
            await asyncio.sleep(RETRY_AFTER)
            try:
                await self.pipeline.start()
            except Exception:
                _log.exception("pipeline cannot be started")
        await self._resume_scans()
        self.wake()

    async def _tell_end(self, slide: str) -> None:
        """Tell whoever follows a slide that it had ended, where its report was there when the pipeline failed."""
        job = await self._write(partial(self._store.get, slide), "a look at a job")
        if job is not None and Status(job.status).over:
            end = self._hub.finish(slide, job.status, report_url(slide) if job.sha256 else None, job.sha256)
            self.on_ended(slide, end)

    async def _resume_scans(self) -> None:
        """Go on with the scans that are still marked as running."""
        running = await self._write(self._store.running, "a look at scans")
        scans = [job for job in running if job.origin == Origin.INGEST]
        for job in scans:
            if job.id in self._unwanted:
                self._slide_ended(job.id, Status.CANCELLED, None)
        await self.resume([job for job in scans if job.id not in self._unwanted])


def _told(error: BaseException) -> str:
    """What a person is told of an end: what happened, and what to do about it; no place, which may be a path."""
    message, remedy = getattr(error, "message", str(error)), getattr(error, "remedy", "")
    return f"{message}: {remedy}" if remedy else message


async def _no_scans(jobs: list[Job]) -> None:
    """Nobody goes on with scans."""
