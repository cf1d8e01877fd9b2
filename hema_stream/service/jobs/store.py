"""The store of jobs: every change of a job's state is one statement, on the condition of the state before.

Of two that change a job at once, in one process or in several, the second finds its condition false and is told; on
SQLite and on PostgreSQL alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Engine, delete, func, select, update
from sqlalchemy.orm import sessionmaker

from hema_stream.core.errors import HemaError
from hema_stream.service.jobs.job import Deleted, Job, Origin, Status

WAITING = (Status.UPLOADING, Status.QUEUED)
GOING_ON = (*WAITING, Status.RUNNING)


class JobStateError(HemaError):
    """A job is not in a state in which this can be done."""

    code = "job_state"


@dataclass(frozen=True)
class Page:
    """Jobs, newest first; ``before`` asks for the page after it, None where there is none."""

    jobs: Sequence[Job]
    before: int | None


@dataclass(frozen=True)
class Ending:
    """What becomes of a job at its end."""

    status: Status
    code: str | None = None
    message: str | None = None
    counts: Mapping[str, int] | None = None
    progress: Mapping[str, int] | None = None
    sha256: str | None = None


class JobStore:
    """Jobs in a database. Calls wait for the disk: make them from a thread, any thread."""

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    def add(self, job: Job) -> Job:
        """Keep a new job."""
        with self._sessions.begin() as session:
            session.add(job)
        return job

    def get(self, job_id: str) -> Job | None:
        """Look up a job by its id."""
        with self._sessions() as session:
            return session.scalars(select(Job).where(Job.id == job_id)).one_or_none()

    def of_image(self, path: str) -> Job | None:
        """The newest job of an image that was given by its path and has not ended without being done."""
        useless = (Status.REJECTED, Status.FAILED, Status.CANCELLED)
        wanted = select(Job).where(Job.path == path, Job.origin == Origin.PATH, Job.status.not_in(useless))
        with self._sessions() as session:
            return session.scalars(wanted.order_by(Job.number.desc()).limit(1)).one_or_none()

    def page(
        self, *, statuses: Collection[str] = (), text: str = "", before: int | None = None, limit: int = 50
    ) -> Page:
        """List jobs whose name holds a text, newest first."""
        wanted = select(Job).order_by(Job.number.desc()).limit(limit + 1)
        conditions: list[ColumnElement[bool]] = []
        if statuses:
            conditions.append(Job.status.in_(statuses))
        if text:
            conditions.append(Job.name.icontains(text, autoescape=True))
        if before is not None:
            conditions.append(Job.number < before)
        with self._sessions() as session:
            jobs = session.scalars(wanted.where(*conditions)).all()
        return Page(jobs[:limit], jobs[limit - 1].number if len(jobs) > limit else None)

    def claim(self) -> Job | None:
        """Take the next queued job, the most urgent and then the oldest, and mark it as running."""
        queue = select(Job.number).where(Job.status == Status.QUEUED).order_by(Job.priority.desc(), Job.number)
        first = queue.limit(1).with_for_update(skip_locked=True).scalar_subquery()
        taken = update(Job).where(Job.number == first, Job.status == Status.QUEUED)
        values = {"status": Status.RUNNING, "started": datetime.now(UTC), "attempts": Job.attempts + 1}
        with self._sessions.begin() as session:
            return session.scalars(taken.values(values).returning(Job)).one_or_none()

    def end(self, job_id: str, ending: Ending) -> bool:
        """Write down how a running or waiting job ended; False where it had ended before, or was deleted."""
        values = {
            "status": ending.status,
            "finished": datetime.now(UTC),
            "code": ending.code,
            "message": ending.message,
            "sha256": ending.sha256,
            "counts": dict(ending.counts or {}),
            "progress": dict(ending.progress or {}),
        }
        return self._change(job_id, GOING_ON, values) is not None

    def opened(self, job_id: str, facts: Mapping[str, Any]) -> None:
        """Keep what a slide was opened as."""
        with self._sessions.begin() as session:
            session.execute(update(Job).where(Job.id == job_id).values(facts=dict(facts)))

    def uploaded(self, job_id: str) -> None:
        """Put a job whose image has arrived whole into the queue.

        Raises:
            JobStateError: it is not waiting for its image.
        """
        if self._change(job_id, (Status.UPLOADING,), {"status": Status.QUEUED}) is None:
            raise JobStateError("waits for no upload", place=job_id, remedy="look at its status")

    def requeue(self, job_id: str) -> None:
        """Put a running job back into the queue; one that is not running is left alone."""
        self._change(job_id, (Status.RUNNING,), {"status": Status.QUEUED})

    def begin_again(self, job_id: str) -> None:
        """Count a further attempt at a job that stays marked as running."""
        self._change(job_id, (Status.RUNNING,), {"attempts": Job.attempts + 1})

    def withdraw(self, job_id: str) -> bool:
        """Cancel a job that was not begun; False where it was.

        Raises:
            JobStateError: it has ended.
        """
        cancelled = {"status": Status.CANCELLED, "finished": datetime.now(UTC)}
        while self._change(job_id, WAITING, cancelled) is None:
            job = self.get(job_id)
            if job is None or Status(job.status).over:
                raise JobStateError("has ended", place=job_id, remedy="nothing is left to cancel")
            if job.status == Status.RUNNING:
                return False
        return True

    def prioritise(self, job_id: str, priority: int) -> Job | None:
        """Change how urgent a job is; one under way goes on as it is."""
        return self._change(job_id, tuple(Status), {"priority": priority})

    def delete(self, job_id: str) -> Job:
        """Forget a job.

        Raises:
            JobStateError: it is running, or there is none.
        """
        gone = delete(Job).where(Job.id == job_id, Job.status != Status.RUNNING).returning(Job)
        with self._sessions.begin() as session:
            job = session.scalars(gone).one_or_none()
            if job is not None:
                session.merge(Deleted(id=job_id))
        if job is None:
            raise JobStateError("is under way", place=job_id, remedy="cancel it first")
        return job

    def set_aside(self) -> None:
        """Let queued jobs of watched folders wait for their images again: a new watch lays these elsewhere."""
        queued = update(Job).where(Job.origin == Origin.FOLDER, Job.status == Status.QUEUED)
        with self._sessions.begin() as session:
            session.execute(queued.values(status=Status.UPLOADING))

    def moved(self, job_id: str, path: Path) -> None:
        """Note that a job's image lies elsewhere now."""
        with self._sessions.begin() as session:
            session.execute(update(Job).where(Job.id == job_id).values(path=str(path)))

    def running(self) -> Sequence[Job]:
        """Jobs that are marked as running: after a start, those that the last stop interrupted."""
        with self._sessions() as session:
            return session.scalars(select(Job).where(Job.status == Status.RUNNING).order_by(Job.number)).all()

    def waiting(self) -> Sequence[Job]:
        """Jobs whose image has not arrived whole, as far as was written down."""
        with self._sessions() as session:
            return session.scalars(select(Job).where(Job.status == Status.UPLOADING)).all()

    def known(self) -> set[str]:
        """Ids of all jobs."""
        with self._sessions() as session:
            return set(session.scalars(select(Job.id)))

    def deleted(self) -> set[str]:
        """Ids of jobs that were deleted."""
        with self._sessions() as session:
            return set(session.scalars(select(Deleted.id)))

    def counts(self) -> dict[str, int]:
        """Number of jobs by status."""
        with self._sessions() as session:
            rows = session.execute(select(Job.status, func.count()).group_by(Job.status))
            return {status: count for status, count in rows}  # noqa: C416  dict() does not know a Row for a pair

    def _change(self, job_id: str, states: Collection[Status], values: Mapping[str, Any]) -> Job | None:
        """Change a job that is in one of some states; None where it is not, any more or at all."""
        change = update(Job).where(Job.id == job_id, Job.status.in_(states)).values(dict(values)).returning(Job)
        with self._sessions.begin() as session:
            return session.scalars(change).one_or_none()
