"""Endpoints: each says what it takes, gives and asks for, and so do the checks and the OpenAPI document."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from hema_stream.service.auth import Principal, Scope
from hema_stream.service.parts import RATES, TOKENS
from hema_stream.service.problems import ProblemError

PREFIX = "/api/v1"


@dataclass(frozen=True)
class Call:
    """A request that has passed its endpoint's checks.

    Attributes:
        principal: whose token it came with; None where the endpoint asks for none.
        query, body: of the endpoint's models; None where it has none.
    """

    request: web.Request
    principal: Principal | None
    query: Any
    body: Any

    @property
    def slide(self) -> str:
        """Id of the slide that the path names."""
        return self.request.match_info["slide"]


@dataclass(frozen=True)
class Header:
    """A request's header, for the description; ``schema`` is a JSON Schema of its value."""

    name: str
    description: str
    schema: Mapping[str, Any]
    required: bool = True


@dataclass(frozen=True)
class Endpoint:
    """One route.

    Attributes:
        scope: what the token must allow; None where no token is asked for.
        query, body: pydantic models of the query and of a JSON body.
        headers: that the handler looks at; raw: media type of a body that is no JSON.
        answers: status to model, or to a media type where the answer is no JSON, or None where it is empty.
    """

    method: str
    path: str
    handler: Callable[[Call], Awaitable[web.StreamResponse]]
    summary: str
    scope: Scope | None = Scope.READ
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    headers: Sequence[Header] = ()
    raw: str | None = None
    answers: Mapping[int, type[BaseModel] | str | None] = field(default_factory=dict)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Check rate, token, scope, query and body; then answer."""
        principal = None if self.scope is None else await self._authorise(request, self.scope)
        request.app[RATES].count(request, principal.id if principal else "")
        query = _validated(self.query, dict(request.query), "query") if self.query else None
        body = await _body(request, self.body) if self.body else None
        return await self.handler(Call(request, principal, query, body))

    async def _authorise(self, request: web.Request, scope: Scope) -> Principal:
        principal = await asyncio.to_thread(request.app[TOKENS].check, bearer(request))
        if principal is None:
            request.app[RATES].refuse(request)
            challenge = {"WWW-Authenticate": 'Bearer realm="hema-stream"'}
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "token", "a bearer token is needed, and a good one", challenge)
        if not principal.may(scope):
            raise ProblemError(HTTPStatus.FORBIDDEN, "scope", f"the token does not allow {scope.value!r}")
        return principal


def register(app: web.Application, endpoints: Sequence[Endpoint]) -> None:
    """Add endpoints to an application."""
    for endpoint in endpoints:
        app.router.add_route(endpoint.method, f"{PREFIX}{endpoint.path}", endpoint.__call__)


def bearer(request: web.Request) -> str:
    """The token of a request; empty where there is none."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def answer(model: BaseModel, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with a model as JSON."""
    body = model.model_dump_json().encode()
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


async def _body(request: web.Request, model: type[BaseModel]) -> BaseModel:
    if request.content_type != "application/json":
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media_type", "the body must be application/json")
    try:
        document = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "json", f"the body is not JSON: {error}") from error
    return _validated(model, document, "body")


def _validated(model: type[BaseModel], document: Any, place: str) -> BaseModel:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, (place, *first["loc"])))
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", f"{where}: {first['msg']}") from error
