"""Serving: the application on a socket, from its start to the signal that ends it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext

from aiohttp import web

from hema_stream.service.app import make_app
from hema_stream.service.parts import TOKENS
from hema_stream.service.settings import ServiceSettings

CLOSING = 2.0
"""Seconds that requests under way get when the service stops."""


async def serve(
    settings: ServiceSettings, host: str, port: int, tls: SSLContext | None, say: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        say: told where the service listens, and the one-time token of a first start.

    Raises:
        FlowError, HemaError: the pipeline cannot be started.
        OSError: the address is taken.
    """
    stop = told_to_stop()
    async with listening(await make_app(settings), host, port, tls, say):
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
    app: web.Application, host: str, port: int, tls: SSLContext | None, say: Callable[[str], None]
) -> AsyncIterator[None]:
    """Start an application and listen; stop it at the end."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSING)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
        say(f"listening on {'https' if tls else 'http'}://{host}:{runner.addresses[0][1]}")
        first = await asyncio.to_thread(app[TOKENS].first)
        if first is not None:
            say(f"one-time token, to make the first real one with POST /api/v1/tokens: {first}")
        yield
    finally:
        await runner.cleanup()
