"""Tokens and what they allow; every route refuses who shows none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from limits import parse

from hema_stream.service.api.routing import Endpoint
from hema_stream.service.app import ENDPOINTS
from hema_stream.service.auth import Scope
from hema_stream.service.parts import RATES, TOKENS

GUARDED = [endpoint for endpoint in ENDPOINTS if endpoint.scope is not None]
OPEN = {("OPTIONS", "/uploads"), ("POST", "/tokens"), ("GET", "/health"), ("GET", "/ready")}


def path(endpoint: Endpoint) -> str:
    plain = endpoint.path.split("/image_files/")
    return f"{plain[0].replace('{slide}', 'x').replace('{name}', 'y').replace('{token}', 'z')}" + (
        "/image_files/0/0_0.jpeg" if len(plain) > 1 else ""
    )


def test_only_what_must_is_open() -> None:
    assert {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS if endpoint.scope is None} == OPEN


@pytest.mark.parametrize("endpoint", GUARDED, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
async def test_every_route_refuses_no_token_a_wrong_one_and_a_wrong_scope(service: Any, endpoint: Endpoint) -> None:
    enough = {Scope.READ, Scope.SUBMIT, Scope.REVIEW} - {endpoint.scope}
    lacking = await service.scoped(*enough)
    for token, status in (("", 401), ("hema_1_2", 401), ("nonsense", 401), (lacking, 403)):
        answer = await service.ask(endpoint.method, path(endpoint), token=token)
        assert answer.status == status
        assert ("WWW-Authenticate" in answer.headers) is (status == 401)


async def test_a_token_made_by_an_administrator_allows_what_it_says_until_it_is_revoked(service: Any) -> None:
    made = await service.json("POST", "/tokens", 201, json={"name": "viewer", "scopes": ["read"]})
    await service.json("GET", "/slides", token=made["token"])
    assert (
        await service.ask("POST", "/tokens", json={"name": "x", "scopes": ["read"]}, token=made["token"])
    ).status == 403
    listed = (await service.json("GET", "/tokens"))["tokens"]
    (viewer,) = [token for token in listed if token["name"] == "viewer"]
    assert viewer["scopes"] == ["read"]
    assert (await service.ask("DELETE", f"/tokens/{viewer['id']}")).status == 204
    assert (await service.ask("GET", "/slides", token=made["token"])).status == 401
    assert (await service.ask("DELETE", f"/tokens/{viewer['id']}")).status == 404


async def test_a_one_time_token_makes_one_token_and_opens_nothing_else(service: Any) -> None:
    once = await asyncio.to_thread(service.app[TOKENS].create, "first", [Scope.ADMIN], True)
    assert (await service.ask("GET", "/slides", token=once)).status == 401
    wish = {"name": "mine", "scopes": ["admin"]}
    made = await service.json("POST", "/tokens", 201, json=wish, token=once)
    await service.json("GET", "/slides", token=made["token"])
    assert (await service.ask("POST", "/tokens", json=wish, token=once)).status == 401


async def test_guessing_tokens_is_slowed_down(service: Any) -> None:
    rates = service.app[RATES]
    rates._refusals = parse("3/minute")
    statuses = [(await service.ask("GET", "/slides", token="wrong")).status for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    answer = await service.ask("GET", "/slides", token="wrong")
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_good_token_is_not_locked_out_by_wrong_ones_at_its_address(service: Any) -> None:
    service.app[RATES]._refusals = service.app[RATES]._requests = parse("3/minute")
    for _ in range(8):
        await service.ask("GET", "/slides", token="wrong")
        await service.ask("GET", "/health", token="")
    assert (await service.ask("GET", "/slides")).status == 200


@pytest.mark.parametrize(
    "token", ["hema_", "hema__", "hema_x_y", "hema_00000000000g_a", "hema_0123456789ab_ä", "a" * 4000]
)
async def test_a_malformed_token_is_a_wrong_one(service: Any, token: str) -> None:
    assert (await service.ask("GET", "/slides", token=token)).status == 401


@pytest.mark.parametrize("origin", ["http://[", "null", "http://evil.example", "//", "x"])
async def test_a_malformed_origin_is_a_foreign_one(service: Any, origin: str) -> None:
    slide = await service.submit("a.png")
    ticket = (await service.json("POST", "/tickets", 201, json={"slide": slide}))["ticket"]
    headers = {
        "Origin": origin,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "eHh4eHh4eHh4eHh4eHh4eA==",
        "Sec-WebSocket-Protocol": f"hema.live.v1, ticket.{ticket}",
    }
    assert (await service.ask("GET", f"/slides/{slide}/live", headers=headers)).status == 403


async def test_a_ticket_is_for_a_slide_that_there_is(service: Any) -> None:
    slide = await service.submit("a.png")
    made = await service.json("POST", "/tickets", 201, json={"slide": slide})
    assert made["expires_in"] == 30.0
    assert (await service.json("POST", "/tickets", 404, json={"slide": "nobody"}))["code"] == "slide"
