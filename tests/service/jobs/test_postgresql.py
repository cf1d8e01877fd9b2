"""A service on PostgreSQL; what its store promises is in test_store.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pretend
import pytest
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import Engine

from hema_stream.service import warm
from hema_stream.service.app import make_app
from hema_stream.service.auth import Scope, TokenStore
from hema_stream.service.jobs import Origin
from hema_stream.service.parts import DISPATCHER, STORE
from hema_stream.service.settings import ServiceSettings
from hema_stream.service.submission import new_job


def test_tokens_are_made_checked_and_taken_back(postgresql: Engine) -> None:
    tokens = TokenStore(postgresql)
    first = tokens.first()
    assert first is not None
    assert tokens.use_up(first)
    assert not tokens.use_up(first)
    made = tokens.create("mine", [Scope.READ])
    principal = tokens.check(made)
    assert principal is not None
    assert tokens.revoke(principal.id)
    assert tokens.check(made) is None


async def test_a_service_runs_on_it_and_goes_on_after_a_stop(
    postgresql: Engine, server: str, settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "build_pipeline", pretend.build)
    for name in ("a.png", "slow-1.png"):
        (settings.roots[0] / name).write_bytes(b"picture")
    kept = replace(settings, database=server)
    app = await make_app(kept)
    store = app[STORE]
    async with TestClient(TestServer(app)):
        for name in ("a.png", "slow-1.png"):
            store.add(new_job(name, settings.roots[0] / name, Origin.PATH, mpp=None, priority=0))
        app[DISPATCHER].wake()
        await _until(lambda: store.counts() == {"done": 1, "running": 1})
        app[DISPATCHER].pipeline._stage("tally").go.set()
        monkeypatch.setattr(app[DISPATCHER], "_slide_ended", lambda *_: None)
    assert store.counts() == {"done": 1, "queued": 1}
    again = await make_app(kept)
    async with TestClient(TestServer(again)):
        again[DISPATCHER].pipeline._stage("tally").go.set()
        await _until(lambda: store.counts() == {"done": 2})
    assert not list(settings.data.glob("*.db"))


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.02)
