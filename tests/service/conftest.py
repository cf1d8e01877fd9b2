"""A service within the test's own loop, over a pipeline that pretends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pretend
import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from hema_stream.service import dispatch, warm
from hema_stream.service.app import make_app
from hema_stream.service.auth import Scope
from hema_stream.service.parts import DISPATCHER, TOKENS
from hema_stream.service.settings import ServiceSettings, load_limits


class Service:
    """A running application and how to speak to it."""

    def __init__(self, client: TestClient[Any, Any], root: Path) -> None:
        self.client, self.app, self.root = client, client.app, root
        self.token = ""

    @property
    def base(self) -> str:
        return str(self.client.make_url("")).rstrip("/")

    @property
    def pretend(self) -> Any:
        return self.app[DISPATCHER].pipeline._stage("tally")

    async def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> ClientResponse:
        headers = {"Authorization": f"Bearer {self.token if token is None else token}", **options.pop("headers", {})}
        return await self.client.request(method, f"/api/v1{path}", headers=headers, **options)

    async def json(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        answer = await self.ask(method, path, **options)
        document = await answer.json(content_type=None)
        assert answer.status == status, document
        return document

    async def scoped(self, *scopes: Scope) -> str:
        return await asyncio.to_thread(self.app[TOKENS].create, "test", scopes)

    def image(self, name: str) -> str:
        (self.root / name).write_bytes(b"picture")
        return name

    async def submit(self, name: str, **wish: Any) -> str:
        document = await self.json("POST", "/slides", 201, json={"path": self.image(name), **wish})
        return str(document["id"])

    async def until(self, slide: str, *statuses: str) -> dict[str, Any]:
        for _ in range(2000):
            found: dict[str, Any] = await self.json("GET", f"/slides/{slide}")
            if found["status"] in statuses:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(found)


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    (tmp_path / "root").mkdir()
    limits = load_limits()
    jobs = limits.jobs.model_copy(update={"open": 2})
    uploads = limits.uploads.model_copy(update={"spare_bytes": 1})
    limits = limits.model_copy(update={"jobs": jobs, "uploads": uploads})
    return ServiceSettings(data=tmp_path / "data", roots=(tmp_path / "root",), limits=limits)


@asynccontextmanager
async def started_service(settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    monkeypatch.setattr(warm, "build_pipeline", pretend.build)
    monkeypatch.setattr(dispatch, "RETRY_AFTER", 0.01)
    async with TestClient(TestServer(await make_app(settings))) as client:
        made = Service(client, settings.roots[0])
        made.token = await made.scoped(Scope.ADMIN)
        yield made
        made.pretend.go.set()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Callable[[ServiceSettings], AbstractAsyncContextManager[Service]]:
    """Start a service with settings of the test's own, and stop it; another one may follow."""
    return lambda settings: started_service(settings, monkeypatch)


@pytest.fixture
async def service(settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    async with started_service(settings, monkeypatch) as made:
        yield made
