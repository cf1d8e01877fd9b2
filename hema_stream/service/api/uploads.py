"""Resumable uploads by the tus protocol 1.0.0: core, creation, expiration (https://tus.io/protocols/resumable-upload).

An upload's id is its slide's: it is in the list from the first moment and queued once it is whole. One that nobody goes
on with expires, counted from its last byte.
"""

from __future__ import annotations

import asyncio
import binascii
import errno
import os
import shutil
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from io import FileIO
from pathlib import Path

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hema_stream.service.api.models import Mpp, Priority
from hema_stream.service.api.routing import PREFIX, Call, Endpoint, Header
from hema_stream.service.api.slides import find
from hema_stream.service.auth import Scope
from hema_stream.service.jobs import Job, JobStore, Origin, Status
from hema_stream.service.outage import DISK_FULL, outage_of
from hema_stream.service.parts import DISPATCHER, SETTINGS, STORE, UPLOADS
from hema_stream.service.problems import ProblemError
from hema_stream.service.retention import EXPIRED, expiry
from hema_stream.service.settings import UploadLimits
from hema_stream.service.submission import new_job, safe_suffix
from hema_stream.service.uploads import is_whole, queue_if_whole, sync_folder

VERSION = "1.0.0"
EXTENSIONS = "creation,expiration"
MEDIA = "application/offset+octet-stream"


class Metadata(BaseModel):
    """``Upload-Metadata``, decoded; what else a client sends is left alone."""

    model_config = ConfigDict(extra="ignore")

    filename: str = Field("image", max_length=1024)
    mpp: Mpp | None = None
    priority: Priority = 0


async def offered(call: Call) -> web.Response:
    """What of tus there is."""
    most = str(call.request.app[SETTINGS].limits.uploads.most_bytes)
    headers = {"Tus-Version": VERSION, "Tus-Extension": EXTENSIONS, "Tus-Max-Size": most}
    return _answer(HTTPStatus.NO_CONTENT, headers)


async def create(call: Call) -> web.Response:
    """Begin an upload of a known length."""
    _check_version(call.request)
    app = call.request.app
    length, metadata = _length(call.request), _metadata(call.request)
    limits = app[SETTINGS].limits.uploads
    if length > limits.most_bytes:
        raise _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "size", f"uploads hold at most {limits.most_bytes} bytes")
    folder = app[SETTINGS].uploads
    if shutil.disk_usage(folder).free - length < limits.spare_bytes:
        raise _problem(HTTPStatus.INSUFFICIENT_STORAGE, "disk", "the disk has no room for it")
    job = new_job(metadata.filename, folder, Origin.UPLOAD, mpp=metadata.mpp, priority=metadata.priority, length=length)
    job.path = str(folder / f"{job.id}{safe_suffix(metadata.filename)}")
    await asyncio.to_thread(_begin, app[STORE], job)
    return _answer(HTTPStatus.CREATED, {"Location": f"{PREFIX}/uploads/{job.id}", **_expires(app, job)})


async def offset(call: Call) -> web.Response:
    """How much of an upload has arrived."""
    _check_version(call.request)
    job = await _upload(call)
    if not call.request.app[UPLOADS].busy(job.id):
        await _queue_if_whole(call.request.app, job)
    headers = {"Upload-Offset": str(_arrived(job)), "Upload-Length": str(job.length), "Cache-Control": "no-store"}
    return _answer(HTTPStatus.OK, {**headers, **_expires(call.request.app, job)})


async def append(call: Call) -> web.Response:
    """Go on with an upload where it stands; the slide is queued with the last byte."""
    request = call.request
    _check_version(request)
    if request.content_type != MEDIA:
        raise _problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media_type", f"the body must be {MEDIA}")
    job = await _upload(call)
    async with request.app[UPLOADS].writing(job.id) as wanted:
        job = await _upload(call)  # again: it may have expired before its turn came
        try:
            arrived = await _write(request, job, wanted)
        finally:
            # Whole is whole: whether the request's last byte, or its answer, gets through does not matter.
            await _queue_if_whole(request.app, job)
    expires = _expires(request.app, job) if arrived != job.length else {}
    return _answer(HTTPStatus.NO_CONTENT, {"Upload-Offset": str(arrived), **expires})


async def _queue_if_whole(app: web.Application, job: Job) -> None:
    if await asyncio.to_thread(queue_if_whole, app[STORE], job):
        app[DISPATCHER].wake()


async def _write(request: web.Request, job: Job, wanted: asyncio.Event) -> int:
    """Append a request's body; what arrives before a connection breaks, stalls or is taken over is kept."""
    path, length, arrived = Path(job.path), job.length or 0, _arrived(job)
    if request.headers.get("Upload-Offset") != str(arrived):
        raise _problem(HTTPStatus.CONFLICT, "offset", f"the upload stands at {arrived}")
    limits = request.app[SETTINGS].limits.uploads
    file = await asyncio.to_thread(path.open, "ab", buffering=0)
    try:
        while chunk := await _next(request, limits, wanted):
            if arrived + len(chunk) > length:
                raise _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "size", "more bytes than were announced")
            await asyncio.to_thread(_grow, file, chunk, limits.spare_bytes)
            arrived += len(chunk)
    except OSError as error:
        if outage_of(error) != DISK_FULL:
            raise
        raise _problem(HTTPStatus(DISK_FULL.status), DISK_FULL.code, DISK_FULL.detail) from error
    finally:
        await asyncio.to_thread(_sync, file)
    return arrived


async def _next(request: web.Request, limits: UploadLimits, wanted: asyncio.Event) -> bytes:
    """The next part of a body; empty at its end."""
    reading, waiting = asyncio.ensure_future(request.content.read(limits.chunk)), asyncio.ensure_future(wanted.wait())
    try:
        await asyncio.wait({reading, waiting}, timeout=limits.patience, return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            return reading.result()
        if wanted.is_set():
            raise _problem(HTTPStatus.CONFLICT, "taken_over", "a newer request goes on with this upload")
        raise _problem(HTTPStatus.REQUEST_TIMEOUT, "stalled", "nothing came for too long; go on from there")
    finally:
        reading.cancel()
        waiting.cancel()


def _grow(file: FileIO, chunk: bytes, spare: int) -> None:
    """Append to a file, as long as the disk keeps its reserve: what was announced may not fit any more."""
    if shutil.disk_usage(file.name).free - len(chunk) < spare:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file.name))
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


async def _upload(call: Call) -> Job:
    job, limits = await find(call), call.request.app[SETTINGS].limits.retention
    if job.code == EXPIRED or (_unfinished(job) and expiry(Path(job.path), limits) < datetime.now(UTC)):
        raise _problem(HTTPStatus.GONE, EXPIRED, "the upload was not finished in time")
    if job.origin != Origin.UPLOAD or not await asyncio.to_thread(Path(job.path).is_file):
        raise _problem(HTTPStatus.NOT_FOUND, "upload", "there is no such upload")
    return job


def _unfinished(job: Job) -> bool:
    return job.status == Status.UPLOADING and Path(job.path).is_file() and not is_whole(job)


def _expires(app: web.Application, job: Job) -> dict[str, str]:
    """When an unfinished upload expires, as a header; nothing for one that is whole or gone."""
    if not _unfinished(job):
        return {}
    moment = expiry(Path(job.path), app[SETTINGS].limits.retention)
    return {"Upload-Expires": format_datetime(moment, usegmt=True)}


def _arrived(job: Job) -> int:
    return Path(job.path).stat().st_size


def _begin(store: JobStore, job: Job) -> None:
    """Write an upload down, then make its file: what lies in the folder is always some job's."""
    store.add(job)
    try:
        with Path(job.path).open("xb"):
            sync_folder(Path(job.path).parent)
    except OSError:
        store.delete(job.id)
        raise


def _sync(file: FileIO) -> None:
    with file:
        os.fsync(file.fileno())


def _check_version(request: web.Request) -> None:
    if request.headers.get("Tus-Resumable") != VERSION:
        raise _problem(
            HTTPStatus.PRECONDITION_FAILED, "tus_version", f"Tus-Resumable must be {VERSION}", {"Tus-Version": VERSION}
        )


def _length(request: web.Request) -> int:
    text = request.headers.get("Upload-Length", "")
    if not text.isascii() or not text.isdigit() or len(text) > 18 or not int(text):
        raise _problem(HTTPStatus.BAD_REQUEST, "length", "Upload-Length must be a number of bytes above 0")
    return int(text)


def _metadata(request: web.Request) -> Metadata:
    values: dict[str, str] = {}
    try:
        for pair in filter(None, (part.strip() for part in request.headers.get("Upload-Metadata", "").split(","))):
            key, _, encoded = pair.partition(" ")
            values[key] = b64decode(encoded, validate=True).decode()
        return Metadata.model_validate(values)
    except (binascii.Error, UnicodeDecodeError, ValidationError) as error:
        raise _problem(HTTPStatus.BAD_REQUEST, "metadata", f"Upload-Metadata: {error}") from error


def _answer(status: HTTPStatus, headers: Mapping[str, str]) -> web.Response:
    return web.Response(status=status, headers={"Tus-Resumable": VERSION, **headers})


def _problem(status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str] | None = None) -> ProblemError:
    return ProblemError(status, code, detail, {"Tus-Resumable": VERSION, **(headers or {})})


RESUMABLE = Header("Tus-Resumable", "The protocol's version.", {"type": "string", "enum": [VERSION]})
LENGTH = Header("Upload-Length", "Bytes of the whole upload.", {"type": "integer", "minimum": 1})
METADATA = Header(
    "Upload-Metadata",
    "`filename`, `mpp`, `priority`, each with its value in base64.",
    {"type": "string"},
    required=False,
)
OFFSET = Header("Upload-Offset", "Bytes that have arrived.", {"type": "integer", "minimum": 0})

ENDPOINTS = (
    Endpoint("OPTIONS", "/uploads", offered, "What of tus there is", None, answers={204: None}),
    Endpoint(
        "POST",
        "/uploads",
        create,
        "Begin an upload (tus)",
        Scope.SUBMIT,
        headers=(RESUMABLE, LENGTH, METADATA),
        answers={201: None},
    ),
    Endpoint(
        "HEAD",
        "/uploads/{slide}",
        offset,
        "How far an upload is (tus)",
        Scope.SUBMIT,
        headers=(RESUMABLE,),
        answers={200: None},
    ),
    Endpoint(
        "PATCH",
        "/uploads/{slide}",
        append,
        "Go on with an upload (tus)",
        Scope.SUBMIT,
        headers=(RESUMABLE, OFFSET),
        raw=MEDIA,
        answers={204: None},
    ),
)
