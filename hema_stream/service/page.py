"""The browser application: the files of its build, each at a route of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

STATIC = Path(__file__).parent / "static"
INDEX = "index.html"
ASSETS = "assets/"
FRESH, KEPT = "no-cache", "public, max-age=31536000, immutable"
"""Names of assets hold a hash of what is in them; everything else is asked for anew."""


def register(app: web.Application, folder: Path = STATIC) -> None:
    """Hand out what lies in the folder at the start: no part of a path is ever taken from a request."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            app.router.add_get("/" if name == INDEX else f"/{name}", _file(path, KEPT if ASSETS in name else FRESH))


def _file(path: Path, keep: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def give(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(path, headers={"Cache-Control": keep})

    return give
