"""The live WebSocket: the sockets and the clock around ``Session``, which knows the protocol."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from hema_stream.service.api.routing import PREFIX
from hema_stream.service.api.slides import unknown_slide
from hema_stream.service.artefacts import report_url
from hema_stream.service.jobs import Job, Status
from hema_stream.service.live import Close, End, Feed, Session
from hema_stream.service.live.messages import PROTOCOL
from hema_stream.service.live.session import OVERLOADED
from hema_stream.service.parts import HUB, METRICS, RATES, SETTINGS, STORE, TICKETS
from hema_stream.service.problems import ProblemError

TICKET = "ticket."
CLOSING = 5.0
"""Seconds that a client gets to answer a close."""
PATH = f"{PREFIX}/slides/{{slide}}/live"


async def follow(request: web.Request) -> web.WebSocketResponse:
    """Check subprotocol, Origin and ticket, then follow the slide until it ends or the client goes."""
    ticket = _offered_ticket(request)
    check_origin(request)
    job = await _admitted(request, ticket)
    limits = request.app[SETTINGS].limits.live
    if request.app[HUB].clients() >= limits.clients:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "clients", "too many follow already", {"Retry-After": "30"})
    socket = web.WebSocketResponse(protocols=(PROTOCOL,), max_msg_size=limits.frame, compress=False)
    await socket.prepare(request)
    feed = _feed(request, job)
    try:
        await _Connection(socket, feed).serve()
    finally:
        request.app[HUB].unfollow(feed)
        request.app[METRICS].live_closed.labels(socket.close_code or 0).inc()
    return socket


class _Connection:
    """One WebSocket: a task that reads and one that writes, around one session."""

    def __init__(self, socket: web.WebSocketResponse, feed: Feed) -> None:
        self._socket, self._patience = socket, feed.limits.patience
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._woken = asyncio.Event()
        self._session = Session(feed, self._clock(), self._woken.set)

    async def serve(self) -> None:
        """Speak until one of the two sides has had enough."""
        reading = asyncio.create_task(self._read())
        reading.add_done_callback(lambda _: self._woken.set())
        try:
            # One timeout for all frames, set and lifted around each: hundreds of clients get several a second.
            async with asyncio.timeout(None) as patience:
                close = await self._write(reading, patience)
        except TimeoutError:
            close = Close(OVERLOADED, "does not read")
        except ConnectionError:
            close = None
        finally:
            self._session.leave()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if close is not None:
            await self._close(close)

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.BINARY:
                self._session.receive(message.data, self._clock())
            else:
                self._session.refuse("not_understood", "only binary frames are understood")

    async def _write(self, reading: asyncio.Task[None], patience: asyncio.Timeout) -> Close | None:
        """Send what there is to send; how to close, or None where the client is gone."""
        while not reading.done():
            self._woken.clear()
            while frame := self._session.next_frame(self._clock()):
                patience.reschedule(self._clock() + self._patience)
                await self._socket.send_bytes(frame)
            patience.reschedule(None)
            if self._session.close is not None:
                return self._session.close
            look = self._loop.call_at(self._session.due(self._clock()), self._woken.set)
            try:
                await self._woken.wait()
            finally:
                look.cancel()
        return None

    async def _close(self, close: Close) -> None:
        """Close, after nobody reads any more: else aiohttp drops the connection without waiting for the answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING):
                await self._socket.close(code=close.code, message=close.reason.encode())


def _offered_ticket(request: web.Request) -> str:
    """The ticket within the subprotocols that a client offers.

    Raises:
        ProblemError: 400, the protocol is not among them.
    """
    offered = [part.strip() for part in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if PROTOCOL not in offered:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "subprotocol", f"offer the subprotocol {PROTOCOL}")
    return next((part.removeprefix(TICKET) for part in offered if part.startswith(TICKET)), "")


def check_origin(request: web.Request) -> None:
    """Let in pages of this service and of the origins that it was told; a program sends no Origin.

    Raises:
        ProblemError: 403, a page of somebody else's asks.
    """
    origin = request.headers.get("Origin")
    if origin is None or origin in request.app[SETTINGS].origins:
        return
    try:
        own = urlsplit(origin)
    except ValueError:
        own = urlsplit("")
    if own.scheme != request.url.scheme or own.netloc != request.host:
        raise ProblemError(HTTPStatus.FORBIDDEN, "origin", "this page may not follow slides here")


async def _admitted(request: web.Request, ticket: str) -> Job:
    """Use the ticket up.

    Raises:
        ProblemError: 401 without a good ticket, 404 where the slide is gone.
    """
    slide = request.match_info["slide"]
    if not request.app[TICKETS].redeem(ticket, slide, asyncio.get_running_loop().time()):
        request.app[RATES].refuse(request)
        raise ProblemError(HTTPStatus.UNAUTHORIZED, "ticket", "a ticket is needed that is new and for this slide")
    request.app[RATES].count(request)
    job = await asyncio.to_thread(request.app[STORE].get, slide)
    if job is None:
        raise unknown_slide()
    return job


def _feed(request: web.Request, job: Job) -> Feed:
    if not Status(job.status).over:
        return request.app[HUB].follow(job.id, job.name)
    url = report_url(job.id) if job.sha256 else None
    return request.app[HUB].ended(job.id, job.name, End(job.status, url, job.sha256, job.counts, job.progress))
