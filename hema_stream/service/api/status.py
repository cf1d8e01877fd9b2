"""The service at a glance: what runs and waits, room on the disk, watched folders."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from aiohttp import web

from hema_stream import __version__
from hema_stream.service.api.models import DiskInfo, FolderInfo, ServiceStatus
from hema_stream.service.api.routing import Call, Endpoint, answer
from hema_stream.service.api.slides import shown
from hema_stream.service.parts import DISK, DISPATCHER, FOLDERS, HUB, STARTED, STORE


async def status(call: Call) -> web.Response:
    """Everything that a page of status shows."""
    app = call.request.app
    counts = await asyncio.to_thread(app[STORE].counts)
    running = await asyncio.to_thread(app[STORE].running)
    disk, now = app[DISK], datetime.now(UTC)
    return answer(
        ServiceStatus(
            version=__version__,
            ready=app[DISPATCHER].ready,
            started=app[STARTED],
            uptime=(now - app[STARTED]).total_seconds(),
            now=now,
            jobs=counts,
            running=[shown(app, job) for job in running],
            clients=app[HUB].clients(),
            disk=DiskInfo(
                free=disk.free, total=disk.total, below=disk.limits.low, enough=disk.limits.enough, low=disk.low
            ),
            folders=[FolderInfo.of(standing, disk.low) for standing in app[FOLDERS]],
        )
    )


ENDPOINTS = (Endpoint("GET", "/status", status, "The service at a glance", answers={200: ServiceStatus}),)
