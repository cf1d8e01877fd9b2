"""A slide's results: report.json and what lies beside it."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from hema_stream.service.api.models import Artefact, ArtefactList
from hema_stream.service.api.routing import PREFIX, Call, Endpoint, answer
from hema_stream.service.api.slides import find
from hema_stream.service.artefacts import MEDIA, REPORT
from hema_stream.service.parts import SETTINGS
from hema_stream.service.problems import ProblemError


async def report(call: Call) -> web.StreamResponse:
    """report.json, as it was written."""
    await find(call)
    return _file(call, REPORT)


async def listed(call: Call) -> web.Response:
    """The files of a slide's results."""
    folder = _folder(call, (await find(call)).id)
    found = [
        Artefact(
            name=name,
            media=media,
            bytes=(folder / name).stat().st_size,
            url=f"{PREFIX}/slides/{call.slide}/artefacts/{name}",
        )
        for name, media in MEDIA.items()
        if (folder / name).is_file()
    ]
    return answer(ArtefactList(artefacts=found))


async def artefact(call: Call) -> web.StreamResponse:
    """One file of a slide's results."""
    await find(call)
    return _file(call, call.request.match_info["name"])


def _file(call: Call, name: str) -> web.FileResponse:
    """Hand out a file by its name among those that there may be: no part of a path is taken from the request."""
    path = _folder(call, call.slide) / name
    if name not in MEDIA or not path.is_file():
        raise ProblemError(HTTPStatus.NOT_FOUND, "artefact", "there is no such result; it may not be ready")
    headers = {
        "Content-Type": MEDIA[name],
        "Content-Disposition": f'attachment; filename="{call.slide}-{name}"',
        "Cache-Control": "private, no-cache",
    }
    return web.FileResponse(path, headers=headers)


def _folder(call: Call, slide: str) -> Path:
    return call.request.app[SETTINGS].results / slide


ENDPOINTS = (
    Endpoint("GET", "/slides/{slide}/report", report, "Download report.json", answers={200: "application/json"}),
    Endpoint("GET", "/slides/{slide}/artefacts", listed, "List a slide's results", answers={200: ArtefactList}),
    Endpoint(
        "GET",
        "/slides/{slide}/artefacts/{name}",
        artefact,
        "Download a result",
        answers={200: "application/octet-stream"},
    ),
)
