"""Sites: cells to name, learning from them, and what slides are read with."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from aiohttp import web
from hema_models.site.labels import names_to_give

from hema_stream.clinical.rows import cell_id
from hema_stream.core.taxonomy import load_taxonomy
from hema_stream.service.api.routing import PREFIX, Call, Endpoint, answer
from hema_stream.service.api.site_models import (
    GivenName,
    Lesson,
    SiteInfo,
    SiteList,
    SiteQuery,
    SiteRequest,
    Stream,
    Switch,
    TellingCell,
    TellingCells,
    TellingQuery,
)
from hema_stream.service.api.slides import find, unknown_slide
from hema_stream.service.auth import Scope
from hema_stream.service.jobs import Status
from hema_stream.service.parts import DISPATCHER, SITES, STORE
from hema_stream.service.problems import ProblemError
from hema_stream.service.sites import ToName


async def listed(call: Call) -> web.Response:
    """All sites, and the one that slides are read with."""

    def read() -> SiteList:
        sites = call.request.app[SITES]
        shown = [SiteInfo.of(sites.standing(name)) for name in sites.names()]
        return SiteList(sites=shown, chosen=sites.chosen())

    return answer(await asyncio.to_thread(read))


async def create(call: Call) -> web.Response:
    """Make a site that knows nothing yet."""
    wish: SiteRequest = call.body
    made = await asyncio.to_thread(call.request.app[SITES].create, wish.name)
    return answer(SiteInfo.of(made), HTTPStatus.CREATED, {"Location": f"{PREFIX}/sites/{wish.name}"})


async def look(call: Call) -> web.Response:
    """One site: its versions, what was named, and what leaving cells out showed."""
    query: SiteQuery = call.query
    found = await asyncio.to_thread(call.request.app[SITES].standing, _site(call), query.version)
    return answer(SiteInfo.of(found))


async def telling(call: Call) -> web.Response:
    """Cells of an ended slide that tell most when they are named."""
    query: TellingQuery = call.query
    job = await find(call)
    _check_ended(Status(job.status))
    asked = job.id, query.stream, query.n, query.site
    found = await asyncio.to_thread(call.request.app[SITES].to_name, *asked)
    return answer(_shown(job.id, query.stream, found))


async def learn(call: Call) -> web.Response:
    """Learn from named cells, as a new version that is judged and not switched on."""
    wish: Lesson = call.body
    app = call.request.app
    job = await asyncio.to_thread(app[STORE].get, wish.slide)
    if job is None:
        raise unknown_slide()
    _check_ended(Status(job.status))
    names = {(cell.key[0], cell.key[1]): cell.name for cell in wish.names}
    asked = _site(call), job.id, wish.stream, names, wish.new_classes, app[DISPATCHER].pipeline.networks
    learnt = await asyncio.to_thread(app[SITES].learn, *asked)
    return answer(SiteInfo.of(learnt), HTTPStatus.CREATED)


async def use(call: Call) -> web.Response:
    """Switch a version on for slides begun afterwards, or the site off."""
    wish: Switch = call.body
    app = call.request.app
    networks = app[DISPATCHER].pipeline.networks
    return answer(SiteInfo.of(await asyncio.to_thread(app[SITES].use, _site(call), wish.version, networks)))


def _site(call: Call) -> str:
    return call.request.match_info["name"]


def _check_ended(status: Status) -> None:
    if not status.over:
        raise ProblemError(HTTPStatus.CONFLICT, "not_ended", "the slide has not ended yet")


def _shown(slide: str, stream: Stream, found: ToName) -> TellingCells:
    kept = found.kept
    names = load_taxonomy(stream).names
    cells = [
        TellingCell(
            key=(int(kept.keys[row, 0]), int(kept.keys[row, 1])),
            id=cell_id(int(kept.rows[row])),
            suggestion=names[found.best[row]],
            confidence=min(float(found.confidence[row]), 1.0),
        )
        for row in found.rows.tolist()
    ]
    given = [GivenName(name=name, title=title) for name, title in names_to_give(stream, found.own)]
    return TellingCells(slide=slide, stream=stream, cells=cells, of=len(kept), names=given)


ENDPOINTS = (
    Endpoint("GET", "/sites", listed, "List sites", answers={200: SiteList}),
    Endpoint("POST", "/sites", create, "Make a site", Scope.ADMIN, body=SiteRequest, answers={201: SiteInfo}),
    Endpoint("GET", "/sites/{name}", look, "Look at a site", query=SiteQuery, answers={200: SiteInfo}),
    Endpoint(
        "POST",
        "/sites/{name}/learn",
        learn,
        "Learn from cells that a person named",
        Scope.ADMIN,
        body=Lesson,
        answers={201: SiteInfo},
    ),
    Endpoint(
        "POST",
        "/sites/{name}/use",
        use,
        "Switch a version on, or a site off",
        Scope.ADMIN,
        body=Switch,
        answers={200: SiteInfo},
    ),
    Endpoint(
        "GET",
        "/slides/{slide}/telling-cells",
        telling,
        "Cells that tell most when they are named",
        query=TellingQuery,
        answers={200: TellingCells},
    ),
)
