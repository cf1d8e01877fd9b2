"""Slides: submit by path, list, look, hurry, cancel, delete."""

from __future__ import annotations

import asyncio
import os
import shutil
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from hema_stream.service.api.models import Again, SlideInfo, SlideList, SlideQuery, Submission, Urgency
from hema_stream.service.api.routing import PREFIX, Call, Endpoint, answer
from hema_stream.service.auth import Scope
from hema_stream.service.custody import remove_data
from hema_stream.service.jobs import Job, JobStore, Origin, Status
from hema_stream.service.jobs.store import JobStateError
from hema_stream.service.parts import DISPATCHER, HUB, SETTINGS, STORE, VIEWER
from hema_stream.service.problems import ProblemError
from hema_stream.service.submission import located, new_job

AGAIN = (Status.REJECTED, Status.FAILED, Status.CANCELLED)
"""States from which an image can be run again."""


async def submit(call: Call) -> web.Response:
    """Queue an image that lies in a folder the service may read."""
    wish: Submission = call.body
    app = call.request.app
    path = await asyncio.to_thread(located, wish.path, app[SETTINGS].roots)
    job = new_job(wish.name or path.name, path, Origin.PATH, mpp=wish.mpp, priority=wish.priority)
    await asyncio.to_thread(app[STORE].add, job)
    app[DISPATCHER].wake()
    return answer(shown(app, job), HTTPStatus.CREATED, {"Location": f"{PREFIX}/slides/{job.id}"})


async def listed(call: Call) -> web.Response:
    """A page of slides, newest first."""
    query: SlideQuery = call.query
    app = call.request.app
    limits = app[SETTINGS].limits.jobs
    page = await asyncio.to_thread(
        app[STORE].page,
        statuses=query.status,
        text=query.q,
        before=query.before,
        limit=min(query.limit or limits.page, limits.most_page),
    )
    return answer(SlideList(slides=[shown(app, job) for job in page.jobs], before=page.before))


async def look(call: Call) -> web.Response:
    """One slide."""
    return answer(shown(call.request.app, await find(call)))


async def hurry(call: Call) -> web.Response:
    """Change a slide's priority; one under way goes on as it is."""
    wish: Urgency = call.body
    job = await asyncio.to_thread(call.request.app[STORE].prioritise, call.slide, wish.priority)
    if job is None:
        raise unknown_slide()
    return answer(shown(call.request.app, job))


async def cancel(call: Call) -> web.Response:
    """Cancel a slide, waiting or under way; what was counted stays as a partial report."""
    await find(call)
    await call.request.app[DISPATCHER].cancel(call.slide)
    return answer(shown(call.request.app, await find(call)), HTTPStatus.ACCEPTED)


async def again(call: Call) -> web.Response:
    """Run an image again whose slide was rejected, failed or cancelled, as a slide of its own; the old one stays."""
    wish: Again = call.body
    job, app = await find(call), call.request.app
    if job.status not in AGAIN or job.origin not in (Origin.PATH, Origin.UPLOAD):
        raise JobStateError("cannot be run again", place=job.id, remedy="submit the image once more")
    if not await asyncio.to_thread(_whole, job):
        raise ProblemError(HTTPStatus.GONE, "image", "its image is not there, or not whole: submit or upload it again")
    further = await asyncio.to_thread(_further, job, wish.mpp, app[STORE])
    app[DISPATCHER].wake()
    return answer(shown(app, further), HTTPStatus.CREATED, {"Location": f"{PREFIX}/slides/{further.id}"})


async def delete(call: Call) -> web.Response:
    """Delete a slide that is not under way, with its results and its upload; an image given by path stays."""
    await find(call)
    app = call.request.app
    job = await asyncio.to_thread(app[STORE].delete, call.slide)
    await app[VIEWER].forget(job.id)
    app[HUB].forget(job.id)
    await asyncio.to_thread(remove_data, job.id, app[SETTINGS])
    return web.Response(status=HTTPStatus.NO_CONTENT)


async def find(call: Call) -> Job:
    """The job of the slide that a path names.

    Raises:
        ProblemError: 404, there is none.
    """
    job = await asyncio.to_thread(call.request.app[STORE].get, call.slide)
    if job is None:
        raise unknown_slide()
    return job


def shown(app: web.Application, job: Job) -> SlideInfo:
    """A job as clients see it, with the counts of the moment where it runs."""
    counts, progress = app[HUB].counts(job.id) if job.status == Status.RUNNING else ({}, {})
    return SlideInfo.of(job, dict(counts), dict(progress))


def unknown_slide() -> ProblemError:
    """No such slide."""
    return ProblemError(HTTPStatus.NOT_FOUND, "slide", "there is no such slide")


def _whole(job: Job) -> bool:
    path = Path(job.path)
    return path.is_file() and job.length in (None, path.stat().st_size)


def _further(job: Job, mpp: float | None, store: JobStore) -> Job:
    """Queue the image of a job once more; an upload is the new slide's own too, so that either can be deleted.

    The job is written down before its file appears: a file that no job names would be taken for another database's.

    Raises:
        OSError: the disk does not take it; nothing is left then.
    """
    path, origin = Path(job.path), Origin(job.origin)
    made = new_job(job.name, path, origin, mpp=mpp or job.mpp, priority=job.priority, length=job.length)
    if origin is not Origin.UPLOAD:
        return store.add(made)
    made.path = str(path.with_name(f"{made.id}{path.suffix}"))
    store.add(made)
    try:
        _link(path, Path(made.path))
    except OSError:
        store.delete(made.id)
        Path(made.path).unlink(missing_ok=True)
        raise
    store.uploaded(made.id)
    return store.get(made.id) or made


def _link(path: Path, other: Path) -> None:
    try:
        os.link(path, other)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, other)


ENDPOINTS = (
    Endpoint(
        "POST", "/slides", submit, "Submit an image by path", Scope.SUBMIT, body=Submission, answers={201: SlideInfo}
    ),
    Endpoint("GET", "/slides", listed, "List slides", query=SlideQuery, answers={200: SlideList}),
    Endpoint("GET", "/slides/{slide}", look, "Look at a slide", answers={200: SlideInfo}),
    Endpoint(
        "PATCH",
        "/slides/{slide}",
        hurry,
        "Change a slide's priority",
        Scope.SUBMIT,
        body=Urgency,
        answers={200: SlideInfo},
    ),
    Endpoint("POST", "/slides/{slide}/cancel", cancel, "Cancel a slide", Scope.SUBMIT, answers={202: SlideInfo}),
    Endpoint(
        "POST",
        "/slides/{slide}/again",
        again,
        "Run an image again whose slide ended without being done",
        Scope.SUBMIT,
        body=Again,
        answers={201: SlideInfo},
    ),
    Endpoint("DELETE", "/slides/{slide}", delete, "Delete a slide", Scope.ADMIN, answers={204: None}),
)
