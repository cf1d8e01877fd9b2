"""The application: the parts of the service put together, started and stopped in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

from aiohttp import web
from sqlalchemy import Engine

from hema_stream.clinical.panel import load_panel
from hema_stream.core.errors import OutputError
from hema_stream.service import page
from hema_stream.service.api import (
    access,
    figures,
    health,
    image,
    ingest,
    live,
    openapi,
    results,
    sites,
    slides,
    status,
    uploads,
)
from hema_stream.service.api.routing import PREFIX, Call, Endpoint, register
from hema_stream.service.auth import Tickets, TokenStore
from hema_stream.service.custody import check_custody
from hema_stream.service.disk import Disk
from hema_stream.service.dispatch import Dispatcher
from hema_stream.service.hub import LiveHub
from hema_stream.service.jobs import JobStore
from hema_stream.service.jobs.database import open_database
from hema_stream.service.metrics import Metrics, measuring
from hema_stream.service.owner import Owner
from hema_stream.service.parts import (
    DISK,
    DISPATCHER,
    FOLDERS,
    HUB,
    METRICS,
    RATES,
    RETENTION,
    SCANS,
    SETTINGS,
    SITES,
    STARTED,
    STORE,
    TICKETS,
    TOKENS,
    UPLOADS,
    VIEWER,
)
from hema_stream.service.problems import problems
from hema_stream.service.rates import Rates
from hema_stream.service.retention import Retention
from hema_stream.service.scans import Scans
from hema_stream.service.settings import ServiceSettings
from hema_stream.service.sites import Sites
from hema_stream.service.tasks import endless
from hema_stream.service.uploads import Uploads, queue_whole
from hema_stream.service.viewer import Viewer

ENDPOINTS = (
    *slides.ENDPOINTS,
    *uploads.ENDPOINTS,
    *ingest.ENDPOINTS,
    *figures.ENDPOINTS,
    *results.ENDPOINTS,
    *image.ENDPOINTS,
    *sites.ENDPOINTS,
    *access.ENDPOINTS,
    *health.ENDPOINTS,
    *status.ENDPOINTS,
)
PRIVATE = 0o700
"""Mode of a new data folder: images and reports of patients are nobody else's on this machine."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


async def make_app(settings: ServiceSettings) -> web.Application:
    """Put a service together: folders, database and tokens are ready, the pipeline starts with the application.

    Raises:
        OwnedError: another process works on the data.
        DatabaseError, CustodyError: the database cannot be used, or is not the one that belongs to the data.
        OutputError: the folders cannot be made.
    """
    owner = _own(settings)
    try:
        return await _put_together(settings, owner)
    except BaseException:
        owner.let_go()
        raise


def _own(settings: ServiceSettings) -> Owner:
    """Make the folders, and be the only one who works in them."""
    owner = Owner(settings.data)
    try:
        settings.data.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        owner.take()
        for folder in (settings.results, settings.uploads, settings.scans):
            folder.mkdir(exist_ok=True)
    except OSError as error:
        owner.let_go()
        what, remedy = error.strerror or str(error), "make room there, or let this user write there"
        raise OutputError(what, place=str(error.filename or settings.data), remedy=remedy) from error
    return owner


async def _put_together(settings: ServiceSettings, owner: Owner) -> web.Application:
    database = await asyncio.to_thread(open_database, settings.database_url)
    await asyncio.to_thread(check_custody, JobStore(database), settings)
    limits, metrics = settings.limits, Metrics()
    app = web.Application(middlewares=[measuring(metrics), problems], client_max_size=limits.http.body)
    app[SETTINGS], app[METRICS] = settings, metrics
    app[STORE], app[TOKENS], app[TICKETS] = JobStore(database), TokenStore(database), Tickets(limits.tickets)
    app[RATES], app[VIEWER], app[UPLOADS] = Rates(limits.http), Viewer(limits.viewer), Uploads()
    app[SITES] = Sites(settings.site_choice, settings.results)
    await asyncio.to_thread(app[SITES].begin_with, settings.site)
    app[HUB] = LiveHub(limits.live)
    app[DISPATCHER] = Dispatcher(settings, app[STORE], app[HUB])
    app[DISK], app[FOLDERS], app[STARTED] = Disk(settings.data, limits.disk), [], datetime.now(UTC)
    app[RETENTION] = Retention(settings.uploads, app[STORE], app[UPLOADS], limits.retention)
    app[DISK].on_change = app[DISPATCHER].hold
    app[SCANS] = Scans(limits.ingest, limits.uploads.spare_bytes, load_panel(), app[DISPATCHER], app[HUB])
    metrics.watch(app[DISPATCHER].pipeline.statistics, lambda: app[DISPATCHER].ended, app[HUB].clients)
    register(app, [*ENDPOINTS, _described()])
    app.router.add_get(live.PATH, live.follow)
    page.register(app)
    app.on_response_prepare.append(_harden)
    app.cleanup_ctx.append(_working)
    app.on_shutdown.append(_hang_up)
    app.on_cleanup.append(_leaving(owner, database))
    return app


def _described() -> Endpoint:
    """The OpenAPI document, which describes itself too."""

    async def describe(call: Call) -> web.Response:
        """The OpenAPI document."""
        return web.Response(body=text, content_type="application/json")

    endpoint = Endpoint("GET", "/openapi.json", describe, "This document", None, answers={200: "application/json"})
    text = openapi.document([*ENDPOINTS, endpoint])
    return endpoint


async def _working(app: web.Application) -> AsyncIterator[None]:
    await app[DISK].look()
    await asyncio.to_thread(queue_whole, app[STORE])
    await app[DISPATCHER].start()
    work = {"disk": app[DISK].watch, "retention": app[RETENTION].watch, "scans": app[SCANS].tend}
    upkeep = [asyncio.create_task(endless(what, loop)) for what, loop in work.items()]
    yield
    for task in upkeep:
        task.cancel()
    await asyncio.gather(*upkeep, return_exceptions=True)
    await app[DISPATCHER].stop()
    await app[VIEWER].close()


async def _hang_up(app: web.Application) -> None:
    app[SCANS].hang_up()


def _leaving(owner: Owner, database: Engine) -> Callable[[web.Application], Awaitable[None]]:
    async def leave(app: web.Application) -> None:
        database.dispose()
        owner.let_go()

    return leave


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    """Headers that every answer has; what is no picture is not kept by anybody."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.path.startswith(PREFIX):
        response.headers.setdefault("Cache-Control", "no-store")
