"""The daemon's life: started, told to systemd, watched, and stopped within its time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog
from aiohttp import web

from hema_stream.service.app import make_app
from hema_stream.service.daemon.claims import Watch
from hema_stream.service.daemon.config import DaemonConfig
from hema_stream.service.daemon.examine import tls_context
from hema_stream.service.daemon.folders import WatchedFolder, set_aside
from hema_stream.service.daemon.notify import Notifier
from hema_stream.service.parts import DISK, DISPATCHER, FOLDERS, STORE
from hema_stream.service.serve import listening, told_to_stop
from hema_stream.service.tasks import endless

STATUS_EVERY = 5.0
_log = structlog.get_logger(__name__)


async def run_daemon(
    config: DaemonConfig, watch: Watch | None, say: Callable[[str], None], leave: Callable[[], None]
) -> None:
    """Run until SIGTERM or SIGINT.

    Args:
        watch: of the configured folders; None where there are none.
        say: told where the service listens, and the one-time token of a first start.
        leave: ends the process at once; called from a thread when the stop takes longer than it may.

    Raises:
        OwnedError: another process works on the data, or watches one of the folders.
        FlowError, HemaError: the pipeline cannot be started, or the address is taken.
    """
    stop, notifier = told_to_stop(), Notifier()
    settings = config.service()
    app = await make_app(settings)
    folders = _watched(config, watch, app)
    for folder in folders:
        with suppress(OSError):  # one that is away is tried again; one that another process watches is not shared
            folder.owner.take()
    await asyncio.to_thread(set_aside, app[STORE], settings.results, settings.limits.jobs.attempts)
    app[FOLDERS].extend(folder.standing for folder in folders)
    listen = config.listen
    async with listening(app, listen.host, listen.port, tls_context(listen.tls) if listen.tls else None, say):
        tasks = [asyncio.create_task(folder.run()) for folder in folders]
        beating = asyncio.create_task(notifier.beat(lambda: app[DISPATCHER].alive and not _fallen(tasks)))
        telling = asyncio.create_task(endless("status", partial(_tell, app, notifier)))
        notifier.ready()
        _log.info("ready", folders=[str(folder.standing.path) for folder in folders])
        try:
            await stop.wait()
        finally:
            notifier.stopping()
            _leave_after(config.stop.within, leave)
            _log.info("stopping", within=config.stop.within)
            await _cancel(*tasks, telling)
            await app[DISPATCHER].settle(config.stop.finish)
            await _cancel(beating)
    _log.info("stopped")


def _watched(config: DaemonConfig, watch: Watch | None, app: web.Application) -> Sequence[WatchedFolder]:
    if watch is None:
        return ()
    parts = app[STORE], app[DISPATCHER], app[DISK]
    return [WatchedFolder(folder, watch, *parts, config.retry) for folder in config.folders]


def _fallen(tasks: Sequence[asyncio.Task[None]]) -> bool:
    """Whether a folder is no longer watched through a defect: then no signs of life are given."""
    return any(task.done() for task in tasks)


async def _tell(app: web.Application, notifier: Notifier) -> None:
    """Keep the line that ``systemctl status`` shows up to date."""
    while True:
        counts, disk = await asyncio.to_thread(app[STORE].counts), app[DISK]
        jobs = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "no slides yet"
        room = f"{disk.free / 2**30:.1f} GiB free{', LOW: nothing new is begun' if disk.low else ''}"
        notifier.status(f"{jobs}; {room}")
        await asyncio.sleep(STATUS_EVERY)


def _leave_after(seconds: float, leave: Callable[[], None]) -> None:
    """End the process from a thread of its own, which runs even where the loop or another thread hangs."""
    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
