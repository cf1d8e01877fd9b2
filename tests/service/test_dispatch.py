"""Dispatch: a pipeline that fails is begun anew, and a service that stops goes on where it was."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pretend
import pytest
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import event

from hema_stream.service import dispatch, outage, tasks, warm
from hema_stream.service.app import make_app
from hema_stream.service.jobs import Job, JobStore, Origin, Status
from hema_stream.service.jobs.store import Ending
from hema_stream.service.parts import DISPATCHER, HUB, STORE
from hema_stream.service.settings import ServiceSettings
from hema_stream.service.submission import new_job


def job(settings: ServiceSettings, name: str) -> Job:
    path = settings.roots[0] / name
    path.write_bytes(b"picture")
    return new_job(name, path, Origin.PATH, mpp=None, priority=0)


async def ended(store: JobStore, ids: list[str]) -> dict[str, str]:
    async with asyncio.timeout(20):
        while True:
            jobs = [found for one in ids if (found := store.get(one))]
            if all(found.finished for found in jobs):
                return {found.name: found.status for found in jobs}
            await asyncio.sleep(0.01)


async def test_a_pipeline_that_fails_is_begun_anew_and_the_culprit_given_up(service: Any) -> None:
    fatal, good = await service.submit("fatal-1.png"), await service.submit("a.png")
    given_up = await service.until(fatal, "failed")
    assert (given_up["code"], given_up["attempts"]) == ("gave_up", 5)
    await service.until(good, "done")
    await service.until(await service.submit("b.png"), "done")
    assert service.app[DISPATCHER].ready


async def test_who_follows_a_slide_that_is_begun_anew_is_sent_away_to_come_again(service: Any) -> None:
    slide = await service.submit("slow-1.png")
    await service.until(slide, "running")
    feed = service.app[HUB].follow(slide, "")
    while feed.untouched:
        await asyncio.sleep(0.01)
    service.pretend.go.set()
    service.app[HUB].begin(slide, "slow-1.png")
    assert feed.given_up
    assert service.app[HUB].follow(slide, "").run != feed.run


async def test_a_slide_whose_end_was_written_as_the_pipeline_failed_is_told_as_ended(service: Any) -> None:
    slide = await service.submit("slow-1.png")
    await service.until(slide, "running")
    feed = service.app[HUB].follow(slide, "")
    async with asyncio.timeout(10):
        while feed.untouched:
            await asyncio.sleep(0.01)
        service.app[STORE].end(slide, Ending(Status.DONE))
        service.app[DISPATCHER]._pipeline_failed(RuntimeError("injected"))
        while feed.end is None:
            await asyncio.sleep(0.01)
    assert feed.end.status == "done"


async def test_a_service_that_stops_goes_on_where_it_was(
    settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "build_pipeline", pretend.build)
    app = await make_app(settings)
    names = ["slow-1.png", "slow-2.png", "a.png", "b.png"]
    jobs = [app[STORE].add(job(settings, name)) for name in names]
    async with TestClient(TestServer(app)):
        while len(app[DISPATCHER].pipeline._stage("tally").begun) < 2:
            await asyncio.sleep(0.01)
        app[DISPATCHER].pipeline._stage("tally").go.set()
        monkeypatch.setattr(app[DISPATCHER], "_slide_ended", lambda *_: None)
    again = await make_app(settings)
    async with TestClient(TestServer(again)):
        again[DISPATCHER].pipeline._stage("tally").go.set()
        assert set((await ended(again[STORE], [one.id for one in jobs])).values()) == {"done"}
    assert not again[STORE].running()


async def test_a_cancellation_between_the_queue_and_the_pipeline_is_not_lost(
    settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is claimed, its path is being looked at, and then it is cancelled."""
    monkeypatch.setattr(warm, "build_pipeline", pretend.build)
    app = await make_app(settings)
    async with TestClient(TestServer(app)):
        dispatcher, looking = app[DISPATCHER], asyncio.Event()
        plain, loop = dispatcher._still_allowed, asyncio.get_running_loop()

        def slowly(one: Job) -> Any:
            loop.call_soon_threadsafe(looking.set)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.2), loop).result()
            return plain(one)

        monkeypatch.setattr(dispatcher, "_still_allowed", slowly)
        one = app[STORE].add(job(settings, "a.png"))
        dispatcher.wake()
        await asyncio.wait_for(looking.wait(), 10)
        await dispatcher.cancel(one.id)
        assert await ended(app[STORE], [one.id]) == {"a.png": "cancelled"}
        assert dispatcher.pipeline._stage("tally").begun == []


async def test_what_is_queued_while_the_queue_is_being_looked_at_is_not_forgotten(
    settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found empty, and before that answer arrives something is queued."""
    monkeypatch.setattr(warm, "build_pipeline", pretend.build)
    app = await make_app(settings)
    loop, plain, queued = asyncio.get_running_loop(), app[STORE].claim, []

    def claim() -> Job | None:
        found = plain()
        if found is None and not queued:
            queued.append(app[STORE].add(job(settings, "a.png")).id)
            loop.call_soon_threadsafe(app[DISPATCHER].wake)
        return found

    monkeypatch.setattr(app[STORE], "claim", claim)
    async with TestClient(TestServer(app)):
        while not queued:
            await asyncio.sleep(0.01)
        assert await ended(app[STORE], queued) == {"a.png": "done"}


async def test_no_more_slides_are_open_than_allowed(service: Any) -> None:
    ids = [await service.submit(f"slow-{number}.png") for number in range(4)]
    for slide in ids[:2]:
        await service.until(slide, "running")
    await asyncio.sleep(0.1)
    assert service.app[STORE].counts() == {"running": 2, "queued": 2}
    service.pretend.go.set()
    for slide in ids:
        await service.until(slide, "done")


async def test_an_end_that_cannot_be_written_is_tried_until_it_is(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, tries = service.app[STORE].end, []

    def failing(*what: Any) -> Any:
        tries.append(what)
        if len(tries) < 4:
            raise OSError("disk full")
        return plain(*what)

    monkeypatch.setattr(service.app[STORE], "end", failing)
    monkeypatch.setattr(outage, "WAITS", (0.01,) * 8)
    slides = [await service.submit(f"a{number}.png") for number in range(3)]
    for slide in slides:
        assert (await service.until(slide, "done"))["attempts"] == 1
    assert not service.app[DISPATCHER]._open


async def test_a_database_that_is_held_by_another_is_waited_for_and_all_goes_on(
    service: Any, settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs are claimed, opened and ended meanwhile; whoever asks is told what is the matter."""
    monkeypatch.setattr(outage, "WAITS", (0.05,) * 8)
    engine = service.app[STORE]._sessions.kw["bind"]
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=50"))
    engine.dispose()
    first = [await service.submit(f"slow-{number}.png") for number in range(2)]
    for slide in first:
        await service.until(slide, "running")
    second = await service.submit("b.png")
    holder = sqlite3.connect(settings.data / "service.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    service.pretend.go.set()
    refused = await service.ask("POST", "/slides", json={"path": "b.png"})
    assert (refused.status, (await refused.json(content_type=None))["code"]) == (503, "database_busy")
    assert "Retry-After" in refused.headers
    await asyncio.sleep(1.0)
    holder.execute("ROLLBACK")
    for slide in (*first, second, await service.submit("c.png")):
        assert (await service.until(slide, "done"))["attempts"] == 1
    holder.close()


async def test_a_loop_that_fails_is_begun_anew(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, failures = service.app[STORE].claim, [RuntimeError("defect"), OSError("disk")]

    def failing() -> Any:
        if failures:
            raise failures.pop()
        return plain()

    monkeypatch.setattr(tasks, "PAUSE", 0.01)
    monkeypatch.setattr(service.app[STORE], "claim", failing)
    await service.until(await service.submit("a.png"), "done")
    assert not failures
    assert service.app[DISPATCHER].ready


async def test_a_job_whose_claim_was_not_heard_of_is_queued_again(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, lost = service.app[STORE].claim, []

    def failing() -> Any:
        found = plain()
        if found is not None and not lost:
            lost.append(found)
            raise OSError("the answer was lost")
        return found

    monkeypatch.setattr(tasks, "PAUSE", 0.01)
    monkeypatch.setattr(service.app[STORE], "claim", failing)
    assert (await service.until(await service.submit("a.png"), "done"))["attempts"] == 2


async def test_a_pipeline_that_cannot_be_started_is_tried_again(
    settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "RETRY_AFTER", 0.01)
    monkeypatch.setattr(warm, "build_pipeline", pretend.build)
    app = await make_app(settings)
    async with TestClient(TestServer(app)):
        dispatcher, tries = app[DISPATCHER], []

        def failing(*args: Any) -> Any:
            tries.append(args)
            if len(tries) < 3:
                raise OSError("no device")
            return pretend.build(*args)

        monkeypatch.setattr(warm, "build_pipeline", failing)
        one = app[STORE].add(job(settings, "a.png"))
        dispatcher.pipeline._pipeline.fail(OSError("device lost"))
        assert await ended(app[STORE], [one.id]) == {"a.png": "done"}
        assert len(tries) == 3
