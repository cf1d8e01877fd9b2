"""Serving: where it listens, what a first start says, TLS, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from pathlib import Path

import pretend
import pytest
import trustme
from aiohttp import ClientSession, TCPConnector

from hema_stream.service import warm
from hema_stream.service.app import make_app
from hema_stream.service.serve import serve
from hema_stream.service.settings import ServiceSettings


class Said:
    """Lines that a service says, as they come."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def line(self, start: str) -> str:
        async with asyncio.timeout(20):
            while not (found := [line for line in self.lines if line.startswith(start)]):
                await asyncio.sleep(0.01)
        return found[0].rsplit(" ", 1)[1]


@pytest.fixture(autouse=True)
def pretending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "build_pipeline", pretend.build)


async def test_a_first_start_says_a_one_time_token_and_a_later_one_does_not(settings: ServiceSettings) -> None:
    for start in range(2):
        said = Said()
        serving = asyncio.create_task(serve(settings, "127.0.0.1", 0, None, said.lines.append))
        base = await said.line("listening")
        async with ClientSession(base) as session:
            if start == 0:
                headers = {"Authorization": f"Bearer {await said.line('one-time token')}"}
                wish = {"name": "mine", "scopes": ["admin"]}
                async with session.post("/api/v1/tokens", json=wish, headers=headers) as answer:
                    assert answer.status == 201
            async with session.get("/api/v1/ready") as answer:
                assert answer.status == 200
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 20)
    assert len(said.lines) == 1


async def test_a_new_data_folder_is_nobody_elses(settings: ServiceSettings) -> None:
    await make_app(settings)
    assert settings.data.stat().st_mode & 0o077 == 0


async def test_tls_is_spoken_where_there_is_a_certificate(settings: ServiceSettings, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    said = Said()
    serving = asyncio.create_task(serve(settings, "127.0.0.1", 0, context, said.lines.append))
    base = await said.line("listening")
    assert base.startswith("https://")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with ClientSession(base, connector=TCPConnector(ssl=trusting)) as session, session.get("/api/v1/health") as a:
        assert a.status == 200
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, 20)


async def test_a_pipeline_that_cannot_be_started_is_told_at_once(
    settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise OSError("no device")

    monkeypatch.setattr(warm, "build_pipeline", failing)
    with pytest.raises(OSError, match="no device"):
        await asyncio.wait_for(serve(settings, "127.0.0.1", 0, None, lambda _: None), 20)


async def test_what_an_earlier_start_has_queued_is_queued_once(settings: ServiceSettings) -> None:
    (settings.roots[0] / "a.png").write_bytes(b"picture")
    slides = []
    for _ in range(2):
        said = Said()
        serving = asyncio.create_task(serve(settings, "127.0.0.1", 0, None, said.lines.append, submit=["a.png"]))
        slides.append((await said.line("page of a.png")).partition("/#/slides/")[2])
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 20)
    assert slides[0] == slides[1]


async def test_it_queues_what_it_is_told_at_the_start_and_says_where_the_page_is(settings: ServiceSettings) -> None:
    (settings.roots[0] / "a.png").write_bytes(b"picture")
    said, shown = Said(), []
    start = serve(settings, "127.0.0.1", 0, None, said.lines.append, submit=["a.png"], show=shown.append)
    serving = asyncio.create_task(start)
    page = await said.line("page of a.png")
    assert [page] == shown
    base, _, slide = page.partition("/#/slides/")
    async with ClientSession(base) as session:
        headers = {"Authorization": f"Bearer {await said.line('one-time token')}"}
        async with session.post("/api/v1/tokens", json={"name": "me", "scopes": ["read"]}, headers=headers) as answer:
            token = (await answer.json())["token"]
        async with session.get(f"/api/v1/slides/{slide}", headers={"Authorization": f"Bearer {token}"}) as answer:
            assert (await answer.json())["name"] == "a.png"
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, 20)
