"""Tokens, and tickets for the live WebSocket."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from aiohttp import web

from hema_stream.service.api.models import (
    NewToken,
    Session,
    Ticket,
    TicketRequest,
    TokenInfo,
    TokenList,
    TokenRequest,
)
from hema_stream.service.api.routing import Call, Endpoint, answer, bearer
from hema_stream.service.api.slides import unknown_slide
from hema_stream.service.auth import Scope
from hema_stream.service.parts import RATES, SETTINGS, STORE, TICKETS, TOKENS
from hema_stream.service.problems import ProblemError


async def ticket(call: Call) -> web.Response:
    """A ticket to follow one slide."""
    wish: TicketRequest = call.body
    if await asyncio.to_thread(call.request.app[STORE].get, wish.slide) is None:
        raise unknown_slide()
    tickets = call.request.app[TICKETS]
    made = tickets.issue(wish.slide, asyncio.get_running_loop().time())
    return answer(Ticket(ticket=made, expires_in=tickets.seconds), HTTPStatus.CREATED)


async def session(call: Call) -> web.Response:
    """Whose token this is and what it allows, so that a page can leave out what would be refused."""
    if call.principal is None:
        raise RuntimeError("the endpoint asks for a token")
    scopes = [scope for scope in Scope if call.principal.may(scope)]
    uploads = call.request.app[SETTINGS].limits.uploads
    kinds, most = list(uploads.kinds), uploads.most_bytes
    return answer(Session(name=call.principal.name, scopes=scopes, kinds=kinds, most_bytes=most))


async def create(call: Call) -> web.Response:
    """Make a token: by an administrator, or with the one-time token of the first start."""
    wish: TokenRequest = call.body
    tokens, shown = call.request.app[TOKENS], bearer(call.request)
    principal = await asyncio.to_thread(tokens.check, shown)
    if principal is None and not await asyncio.to_thread(tokens.use_up, shown):
        call.request.app[RATES].refuse(call.request)
        raise ProblemError(
            HTTPStatus.UNAUTHORIZED, "token", "a token that allows 'admin' is needed, or the one-time token"
        )
    if principal is not None and not principal.may(Scope.ADMIN):
        raise ProblemError(HTTPStatus.FORBIDDEN, "scope", "the token does not allow 'admin'")
    made = await asyncio.to_thread(tokens.create, wish.name, wish.scopes)
    return answer(NewToken(token=made), HTTPStatus.CREATED)


async def listed(call: Call) -> web.Response:
    """All tokens, without their secrets."""
    rows = await asyncio.to_thread(call.request.app[TOKENS].list)
    tokens = [
        TokenInfo(id=row.id, name=row.name, scopes=[Scope(s) for s in row.scopes.split()], created=row.created)
        for row in rows
    ]
    return answer(TokenList(tokens=tokens))


async def revoke(call: Call) -> web.Response:
    """Take a token back."""
    if not await asyncio.to_thread(call.request.app[TOKENS].revoke, call.request.match_info["token"]):
        raise ProblemError(HTTPStatus.NOT_FOUND, "token", "there is no such token")
    return web.Response(status=HTTPStatus.NO_CONTENT)


ENDPOINTS = (
    Endpoint("GET", "/session", session, "What the token allows", answers={200: Session}),
    Endpoint("POST", "/tickets", ticket, "Get a ticket to follow a slide", body=TicketRequest, answers={201: Ticket}),
    Endpoint("POST", "/tokens", create, "Make a token", None, body=TokenRequest, answers={201: NewToken}),
    Endpoint("GET", "/tokens", listed, "List tokens", Scope.ADMIN, answers={200: TokenList}),
    Endpoint("DELETE", "/tokens/{token}", revoke, "Take a token back", Scope.ADMIN, answers={204: None}),
)
