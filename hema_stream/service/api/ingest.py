"""Scanners: a slide is opened over REST, its fields come over a WebSocket (docs/ingest-protocol.md)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus
from shutil import rmtree

from aiohttp import WSMsgType, web

from hema_stream.core.field import Scan
from hema_stream.service.api.live import CLOSING, check_origin
from hema_stream.service.api.models import IngestInfo
from hema_stream.service.api.routing import PREFIX, Call, Endpoint, answer
from hema_stream.service.api.slides import find
from hema_stream.service.artefacts import report_url
from hema_stream.service.auth import Scope
from hema_stream.service.ingest import Ended, Opening, Push, Session, Wanted
from hema_stream.service.ingest.declaration import DeclarationError
from hema_stream.service.ingest.messages import PROTOCOL
from hema_stream.service.ingest.pace import Pace
from hema_stream.service.ingest.session import TOO_LARGE, Close
from hema_stream.service.jobs import Job, Origin, Status
from hema_stream.service.parts import DISPATCHER, SCANS, SETTINGS, STORE
from hema_stream.service.problems import ProblemError
from hema_stream.service.scans import TooManyScansError
from hema_stream.service.submission import new_job


async def open_scan(call: Call) -> web.Response:
    """Open a slide that is going to come field by field."""
    opening: Opening = call.body
    app = call.request.app
    limits = app[SETTINGS].limits.ingest
    try:
        opening.scan(limits)
        app[SCANS].check_room()
    except DeclarationError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, str(error)) from error
    except TooManyScansError as error:
        wait = {"Retry-After": "30"}
        raise ProblemError(
            HTTPStatus.TOO_MANY_REQUESTS, error.code, f"{error.message}; {error.remedy}", wait
        ) from error
    if not app[DISPATCHER].pipeline.running:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "pipeline", "the pipeline is being begun anew; try again")
    folder = app[SETTINGS].scans
    job = new_job(opening.name, folder, Origin.INGEST, mpp=opening.mpp, priority=opening.priority)
    job.path = str(folder / job.id)
    owner = call.principal.id if call.principal else ""
    push, spool = app[SCANS].announce(job, opening, owner)
    try:
        await asyncio.to_thread(spool.begin, opening, owner, push.scan)
        await asyncio.to_thread(app[STORE].add, job)
        app[SCANS].begin(job)
    except OSError as error:
        raise ProblemError(HTTPStatus.INSUFFICIENT_STORAGE, "disk", "the disk has no room for it") from error
    finally:
        if not app[DISPATCHER].knows_scan(job.id):
            app[SCANS].forget(job.id)
            await asyncio.to_thread(rmtree, job.path, ignore_errors=True)
    scan = push.scan
    url = f"{PREFIX}/ingest/{job.id}"
    info = IngestInfo(slide=job.id, url=url, protocol=PROTOCOL, window=scan.window, fitted=scan.fitted)
    return answer(info, HTTPStatus.CREATED, {"Location": url})


async def push_fields(call: Call) -> web.StreamResponse:
    """Upgrade to a WebSocket and take fields until the slide has ended or the scanner goes."""
    request = call.request
    offered = [part.strip() for part in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if PROTOCOL not in offered:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "subprotocol", f"offer the subprotocol {PROTOCOL}")
    check_origin(request)
    push = await _admitted(call)
    limits = push.limits
    socket = web.WebSocketResponse(
        protocols=(PROTOCOL,), max_msg_size=limits.frame, compress=False, heartbeat=4 * limits.heartbeat
    )
    await socket.prepare(request)
    await _Connection(socket, push).serve()
    return socket


class _Connection:
    """One WebSocket: a task that reads and one that writes, around one session."""

    def __init__(self, socket: web.WebSocketResponse, push: Push) -> None:
        self._socket, self._push = socket, push
        self._clock = asyncio.get_running_loop().time
        self._woken = asyncio.Event()
        self._session = Session(push, self._clock(), self._woken.set)
        self._pace = Pace(push.limits.messages)

    async def serve(self) -> None:
        """Speak until one of the two sides has had enough."""
        reading = asyncio.create_task(self._read())
        reading.add_done_callback(lambda _: self._woken.set())
        try:
            close = await self._write(reading)
        finally:
            self._session.leave()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if close is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await self._socket.close(code=close.code, message=close.reason.encode())

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.BINARY:
                self._session.receive(message.data, self._clock())
            else:
                self._session.refuse("not_understood", "only binary frames are understood")
            if wait := self._pace.wait(len(message.data or b""), self._clock()):
                await asyncio.sleep(wait)

    async def _write(self, reading: asyncio.Task[None]) -> Close | None:
        """Send what there is to send; how to close, or None where the scanner is gone."""
        patience = self._push.limits.patience
        while not reading.done():
            self._woken.clear()
            while frame := self._session.next_frame(self._clock()):
                try:
                    async with asyncio.timeout(patience):
                        await self._socket.send_bytes(frame)
                except TimeoutError:
                    return Close(TOO_LARGE, "does not read")
                except ConnectionError:
                    return None
            if self._session.close is not None:
                return self._session.close
            with suppress(TimeoutError):
                async with asyncio.timeout(max(self._session.due() - self._clock(), 0.0)):
                    await self._woken.wait()
        return None


async def _admitted(call: Call) -> Push:
    """The push that a scanner goes on with.

    Raises:
        ProblemError: 404 no such slide, 403 opened with another token, 409 it is none that is pushed.
    """
    job = await find(call)
    scans, principal = call.request.app[SCANS], call.principal
    push = scans.get(job.id)
    if push is None:
        push = _ended(call, job)
    elif push.replaying:
        wait = {"Retry-After": "1"}
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "replaying", "the scan is being gone on with", wait)
    elif principal is None or (principal.id != push.owner and not principal.may(Scope.ADMIN)):
        raise ProblemError(HTTPStatus.FORBIDDEN, "owner", "this scan was opened with another token")
    return push


def _ended(call: Call, job: Job) -> Push:
    """A push that only tells how its slide ended."""
    if job.origin != Origin.INGEST or not Status(job.status).over:
        raise ProblemError(HTTPStatus.CONFLICT, "ingest", "this slide is not one that fields are taken for")
    limits = call.request.app[SETTINGS].limits.ingest
    push = Push(job.id, job.name, "", Scan(1, 1, area=(0, 0, 1, 1)), Wanted(0, 0), limits, call.request.app[SCANS])
    url = report_url(job.id) if job.sha256 else None
    push.end(Ended(job.status, url, job.sha256, job.counts, job.progress))
    return push


ENDPOINTS = (
    Endpoint(
        "POST",
        "/ingest",
        open_scan,
        "Open a slide that a scanner sends",
        Scope.SUBMIT,
        body=Opening,
        answers={201: IngestInfo},
    ),
    Endpoint(
        "GET",
        "/ingest/{slide}",
        push_fields,
        "Send fields (WebSocket, docs/ingest-protocol.md)",
        Scope.SUBMIT,
        answers={101: None},
    ),
)
