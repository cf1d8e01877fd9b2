"""Serving: the application on a socket, from its start to the signal that ends it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import SSLContext

from aiohttp import web

from hema_stream.service.address import refused
from hema_stream.service.app import make_app
from hema_stream.service.jobs import Origin
from hema_stream.service.parts import DISPATCHER, STORE, TOKENS
from hema_stream.service.settings import ServiceSettings
from hema_stream.service.submission import located, new_job

CLOSING = 2.0
"""Seconds that requests under way get when the service stops."""


async def serve(
    settings: ServiceSettings,
    host: str,
    port: int,
    tls: SSLContext | None,
    say: Callable[[str], None],
    *,
    submit: Sequence[str] = (),
    show: Callable[[str], None] = lambda _: None,
    new_token: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        say: told where the service listens, where its pages are, and the one-time token of a first start.
        submit: images within the roots to queue at once, where no earlier start has queued them.
        show: told the address of the last of their pages.
        new_token: give a one-time token though there are tokens already: whoever starts the service may have one.

    Raises:
        FlowError, HemaError: the pipeline cannot be started, the address is taken, or there is no such image.
    """
    stop = told_to_stop()
    found = {path: await asyncio.to_thread(located, path, settings.roots) for path in submit}
    app = await make_app(settings)
    async with listening(app, host, port, tls, say, new_token) as base:
        pages = [(path, f"{base}/#/slides/{await _queue(app, image)}") for path, image in found.items()]
        for path, page in pages:
            say(f"page of {path}: {page}")
        if pages:
            show(pages[-1][1])
        await stop.wait()


def told_to_stop() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


@asynccontextmanager
async def listening(
    app: web.Application,
    host: str,
    port: int,
    tls: SSLContext | None,
    say: Callable[[str], None],
    new_token: bool = False,
) -> AsyncIterator[str]:
    """Start an application and listen at the address that is given; stop it at the end."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSING)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, ssl_context=tls).start()
        except OSError as error:
            raise refused(host, port, error) from error
        base = f"{'https' if tls else 'http'}://{host}:{runner.addresses[0][1]}"
        say(f"listening on {base}")
        first = await asyncio.to_thread(app[TOKENS].first, new_token)
        if first is not None:
            say(f"one-time token, to sign in with or to make a real one with POST /api/v1/tokens: {first}")
        yield base
    finally:
        await runner.cleanup()


async def _queue(app: web.Application, image: Path) -> str:
    """Queue an image as if it had been submitted, unless an earlier start has; its slide's id."""
    earlier = await asyncio.to_thread(app[STORE].of_image, str(image))
    if earlier is not None:
        return earlier.id
    job = new_job(image.name, image, Origin.PATH, mpp=None, priority=0)
    await asyncio.to_thread(app[STORE].add, job)
    app[DISPATCHER].wake()
    return job.id
