"""The slide's own pixels for a viewer, as Deep Zoom tiles."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from hema_stream.core.errors import InputError
from hema_stream.core.slide import Slide
from hema_stream.service.api.routing import Call, Endpoint
from hema_stream.service.api.slides import find
from hema_stream.service.facts import slide_of
from hema_stream.service.jobs import Job, Origin, Status
from hema_stream.service.parts import SETTINGS, VIEWER
from hema_stream.service.problems import ProblemError
from hema_stream.service.submission import read_from
from hema_stream.service.viewer import UnviewableError

CACHED = {"Cache-Control": "private, max-age=86400, immutable"}


async def descriptor(call: Call) -> web.Response:
    """The .dzi document of a slide."""
    pyramid = call.request.app[VIEWER].pyramid(_slide(*await _job(call)))
    return web.Response(text=pyramid.descriptor(), content_type="application/xml", headers=CACHED)


async def tile(call: Call) -> web.Response:
    """One tile as JPEG."""
    (job, path), viewer = await _job(call), call.request.app[VIEWER]
    slide, growing = _slide(job, path), job.origin == Origin.INGEST and not Status(job.status).over
    level, column, row = (int(call.request.match_info[name]) for name in ("level", "column", "row"))
    region = viewer.pyramid(slide).region(level, column, row)
    if region is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "tile", "the picture has no such tile")
    try:
        picture = await viewer.read(slide, region, keep=not growing)
    except UnviewableError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "unviewable", str(error)) from error
    headers = {"Cache-Control": "no-store"} if growing else CACHED
    return web.Response(body=picture, content_type="image/jpeg", headers=headers)


async def _job(call: Call) -> tuple[Job, Path]:
    """The job and where its image lies, if it is still where this service may read."""
    job = await find(call)
    if job.facts is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "image", "the image has not been opened yet, or was rejected")
    try:
        path = await asyncio.to_thread(read_from, job, call.request.app[SETTINGS])
    except InputError as error:
        raise ProblemError(HTTPStatus.GONE, "image", "the image is no longer kept here") from error
    if not await asyncio.to_thread(path.exists):
        raise ProblemError(HTTPStatus.GONE, "image", "the image is no longer kept here")
    return job, path


def _slide(job: Job, path: Path) -> Slide:
    assert job.facts is not None
    return slide_of(job.id, path, job.facts)


ENDPOINTS = (
    Endpoint("GET", "/slides/{slide}/image.dzi", descriptor, "Describe the picture", answers={200: "application/xml"}),
    Endpoint(
        "GET",
        r"/slides/{slide}/image_files/{level:\d{1,2}}/{column:\d{1,7}}_{row:\d{1,7}}.jpeg",
        tile,
        "A tile of the picture",
        answers={200: "image/jpeg"},
    ),
)
