"""The ingest routes over real sockets: who may open and push, and what a line survives."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from shutil import rmtree
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError
from sqlalchemy import text
from test_docs import blocks

from hema_stream.cli.scan.faults import Faults, plan_course
from hema_stream.cli.scan.picture import Cut
from hema_stream.cli.scan.scanner import Scanner
from hema_stream.core.scan_folder import CLOSED, DECLARATION, kept_fields
from hema_stream.service.auth import Scope
from hema_stream.service.parts import DISPATCHER, SCANS, SETTINGS, STORE
from hema_stream.service.recovery import recover
from hema_stream.service.settings import ServiceSettings
from hema_stream.service.spool import JOURNAL

OPENING = {"name": "scan", "width": 64, "height": 64, "mpp": 0.5}
GRID = {"columns": 5, "rows": 4, "step_x": 30.0, "step_y": 30.0}


def field(index: int, data: bytes = b"picture", **changes: Any) -> dict[str, Any]:
    row, column = divmod(index, 5)
    place = {"index": index, "x": column * 30.0, "y": row * 30.0}
    return {"type": "field", **place, "encoding": "jpeg", "crc32": zlib.crc32(data), "data": data, **changes}


def survey(service: Any) -> Any:
    return service.app[DISPATCHER].pipeline._stage("survey")


async def opened(service: Any, token: str | None = None, **changes: Any) -> Any:
    body = {**OPENING, "grid": GRID, **changes}
    return await service.json("POST", "/ingest", 201, json=body, token=token)


class Line:
    """A WebSocket and what has been heard on it."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, **message: Any) -> None:
        await self.socket.send_bytes(msgpack.packb(message))

    async def hear(self, *kinds: str) -> dict[str, Any]:
        """The next message of these kinds."""
        async with asyncio.timeout(10):
            while True:
                frame = await self.socket.receive()
                assert frame.type is WSMsgType.BINARY, frame
                message = msgpack.unpackb(frame.data)
                if message["type"] in kinds:
                    return dict(message)


@asynccontextmanager
async def line(service: Any, url: str, token: str | None = None, **headers: str) -> AsyncIterator[Line]:
    sent = {"Authorization": f"Bearer {service.token if token is None else token}", **headers}
    async with service.client.ws_connect(url, protocols=("hema.ingest.v1",), headers=sent) as socket:
        yield Line(socket)


async def refused(service: Any, url: str, token: str | None = None, **headers: str) -> int:
    with pytest.raises(WSServerHandshakeError) as caught:
        async with line(service, url, token, **headers):
            pass
    return caught.value.status


async def test_fields_become_a_slide_that_is_listed_followed_and_reported(service: Any) -> None:
    info = await opened(service)
    assert (info["protocol"], info["url"]) == ("hema.ingest.v1", f"/api/v1/ingest/{info['slide']}")
    shown = await service.json("GET", f"/slides/{info['slide']}")
    assert (shown["status"], shown["origin"], shown["name"]) == ("running", "ingest", "scan")
    async with line(service, info["url"]) as scanner:
        credit = (await scanner.hear("credit"))["n"]
        for index in range(credit):
            await scanner.say(**field(index))
        while credit < 20:
            for _ in range((await scanner.hear("credit"))["n"]):
                if credit < 20:
                    await scanner.say(**field(credit))
                    credit += 1
        await scanner.say(type="close", fields=20)
        end = await scanner.hear("end")
        assert (await scanner.socket.receive()).type is WSMsgType.CLOSE
        assert scanner.socket.close_code == 1000
    assert (end["status"], end["counts"]) == ("done", {"cells": 180})
    assert survey(service).fields[info["slide"]] == list(range(20))
    report = await service.json("GET", end["url"].removeprefix("/api/v1"))
    assert report["summary"]["total_cells"] == 180
    assert len(service.app[SCANS]) == 0


async def test_the_client_of_the_documentation_sends_a_scan(service: Any) -> None:
    (source,) = blocks("ingest-protocol.md", "python")
    namespace: dict[str, Any] = {}
    exec(compile(source, "ingest-protocol.md", "exec", dont_inherit=True), namespace)
    client = SimpleNamespace(**namespace)

    def take(index: int) -> tuple[float, float, bytes] | None:
        made = field(index)
        return None if index == 7 else (made["x"], made["y"], made["data"])

    opening = {**OPENING, "grid": GRID}
    end = await asyncio.wait_for(client.send(service.base, service.token, opening, 20, take), 20)
    assert end["status"] == "done"
    (numbers,) = survey(service).fields.values()
    assert numbers == [index for index in range(20) if index != 7]


async def test_a_broken_line_is_gone_on_with(service: Any) -> None:
    info = await opened(service)
    async with line(service, info["url"]) as first:
        await first.hear("credit")
        await first.say(**field(0))
        await first.hear("ack")
        await first.say(**field(1))
        await first.hear("ack")
    async with line(service, info["url"]) as second:
        hello = await second.hear("hello")
        assert hello["received"] == [[0, 1]]
        async with line(service, info["url"]) as third:
            assert (await second.hear("error"))["code"] == "replaced"
            await third.hear("credit")
            await third.say(**field(1))
            assert (await third.hear("ack"))["repeated"] == [1]
            await third.say(type="close", fields=2)
            assert (await third.hear("end"))["status"] == "done"
    async with line(service, info["url"]) as late:
        assert (await late.hear("end"))["status"] == "done"


async def test_a_pipeline_that_does_not_keep_up_stops_the_scanner(service: Any) -> None:
    survey(service).hold = True
    info = await opened(service)
    async with line(service, info["url"]) as scanner:
        credit = (await scanner.hear("credit"))["n"]
        assert credit == info["window"]
        for index in range(credit):
            await scanner.say(**field(index))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(scanner.hear("credit"), 0.5)
        survey(service).go.set()
        assert (await scanner.hear("credit"))["n"] >= 1
        await scanner.say(type="abort")
        assert (await scanner.hear("end"))["status"] == "cancelled"


async def test_a_field_that_cannot_be_read_is_told(service: Any) -> None:
    info = await opened(service)
    async with line(service, info["url"]) as scanner:
        await scanner.hear("credit")
        await scanner.say(**field(3, b"unreadable"))
        assert await scanner.hear("lost") == {"type": "lost", "index": 3, "reason": "unreadable"}


async def test_an_abort_and_a_cancellation_end_the_slide(service: Any) -> None:
    for way in ("abort", "cancel"):
        info = await opened(service)
        async with line(service, info["url"]) as scanner:
            await scanner.hear("credit")
            await scanner.say(**field(0))
            await scanner.hear("ack")
            if way == "abort":
                await scanner.say(type="abort", reason="broken glass")
            else:
                await service.json("POST", f"/slides/{info['slide']}/cancel", 202)
            assert (await scanner.hear("end"))["status"] == "cancelled"
        await service.until(info["slide"], "cancelled")


async def test_a_scan_goes_on_after_the_pipeline_has_failed(service: Any) -> None:
    info = await opened(service)
    async with line(service, info["url"]) as scanner:
        await scanner.hear("credit")
        await scanner.say(**field(0))
        await scanner.say(**field(2))
        acknowledged: list[int] = []
        while len(acknowledged) < 2:
            acknowledged += (await scanner.hear("ack"))["accepted"]
        fatal = await service.submit("fatal-1")
        assert (await scanner.hear("error"))["code"] == "restarted"
    ended, closed = "", False
    for _ in range(200):  # each attempt at the image takes the pipeline down once more
        with suppress(WSServerHandshakeError):
            async with line(service, info["url"]) as scanner:
                hello = await scanner.hear("hello")
                first = await scanner.hear(*({"credit", "error", "end"} | ({"counts"} if closed else set())))
                # A slide that has ended meanwhile is greeted without its fields: only its end follows.
                assert hello["received"] in ([[0, 0], [2, 2]], [[0, 2]]) or first["type"] == "end"
                if first["type"] == "credit":
                    await scanner.say(**field(1))
                    await scanner.say(type="close", fields=3)
                    closed = True
                ended = (await scanner.hear("error", "end")).get("status", "") if first["type"] != "end" else "done"
        if ended:
            break
        await asyncio.sleep(0.05)
    assert ended == "done"
    await service.until(fatal, "failed")
    while not service.app[DISPATCHER].pipeline.running:  # it is given up before the pipeline runs again
        await asyncio.sleep(0.01)
    status = await service.json("GET", f"/slides/{info['slide']}")
    kept = [each.index for each in kept_fields(service.app[SETTINGS].scans / info["slide"])]
    assert (status["status"], kept) == ("done", [0, 1, 2])


async def test_a_field_that_the_disk_does_not_take_is_refused_and_can_be_sent_again(service: Any) -> None:
    info = await opened(service)
    spool = service.app[SCANS]._spools[info["slide"]]
    async with line(service, info["url"]) as scanner:
        await scanner.hear("credit")
        spare, spool._spare = spool._spare, 1 << 60
        await scanner.say(**field(0))
        assert (await scanner.hear("refused"))["code"] == "disk"
        assert (await scanner.hear("credit"))["n"] == 1
        spool._spare = spare
        await scanner.say(**field(0))
        assert (await scanner.hear("ack"))["accepted"] == [0]


async def test_a_scan_is_not_opened_on_a_full_disk(service: Any) -> None:
    service.app[SCANS]._spare = 1 << 60
    answer = await service.json("POST", "/ingest", 507, json={**OPENING, "grid": GRID})
    assert (answer["code"], len(service.app[SCANS])) == ("disk", 0)


async def test_what_was_acknowledged_lies_on_the_disk_and_goes_with_the_slide(service: Any) -> None:
    info = await opened(service)
    folder = service.app[SETTINGS].scans / info["slide"]
    async with line(service, info["url"]) as scanner:
        await scanner.hear("credit")
        await scanner.say(**field(6))
        await scanner.hear("ack")
        (kept,) = kept_fields(folder)
        assert (kept.index, kept.x, kept.y, kept.path.read_bytes()) == (6, 30.0, 30.0, b"picture")
        await scanner.say(type="close", fields=20)
        await scanner.hear("end")
    await service.until(info["slide"], "done")
    await service.ask("DELETE", f"/slides/{info['slide']}")
    assert not folder.exists()


async def test_only_who_opened_a_scan_and_an_admin_may_push(service: Any) -> None:
    mine, other, reader = [await service.scoped(scope) for scope in (Scope.SUBMIT, Scope.SUBMIT, Scope.READ)]
    info = await opened(service, token=mine)
    assert await refused(service, info["url"], other) == 403
    assert await refused(service, info["url"], reader) == 403
    assert await refused(service, info["url"], "") == 401
    async with line(service, info["url"], mine) as scanner:
        await scanner.hear("hello")
    async with line(service, info["url"]) as scanner:
        await scanner.hear("hello")


async def test_a_page_of_another_origin_may_not_push(service: Any) -> None:
    info = await opened(service)
    assert await refused(service, info["url"], Origin="https://elsewhere.example") == 403


async def test_what_is_no_upgrade_or_no_scan_is_refused(service: Any) -> None:
    info = await opened(service)
    assert (await service.json("GET", f"/ingest/{info['slide']}", 400))["code"] == "subprotocol"
    headers = {"Sec-WebSocket-Protocol": "hema.ingest.v1"}
    assert (await service.json("GET", f"/ingest/{info['slide']}", 400, headers=headers))["code"] == "bad_request"
    assert await refused(service, "/api/v1/ingest/nothing") == 404
    image = await service.submit("a.png")
    assert await refused(service, f"/api/v1/ingest/{image}") == 409


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"width": 9000, "height": 9000}, "size"),
        ({"grid": {**GRID, "columns": 9999, "rows": 9999}}, "fields"),
        ({"grid": {**GRID, "step_x": 1e6}}, "area"),
        ({"grid": {**GRID, "step_y": 7.0}}, "step"),
        ({"grid": None, "area": [0.0, 0.0, 1e9, 1.0]}, "area"),
        ({"grid": None}, "invalid"),
        ({"area": [0.0, 0.0, 1.0, 1.0]}, "invalid"),
        ({"mpp": 0.0}, "invalid"),
        ({"width": 1}, "invalid"),
        ({"more": 1}, "invalid"),
    ],
)
async def test_a_scan_that_cannot_be_taken_is_refused(service: Any, changes: dict[str, Any], code: str) -> None:
    answer = await service.json("POST", "/ingest", 422, json={**OPENING, "grid": GRID, **changes})
    assert answer["code"] == code
    assert len(service.app[SCANS]) == 0


async def test_only_so_many_scans_are_open(service: Any) -> None:
    most = service.app[SCANS]._limits.open
    infos = [await opened(service) for _ in range(most)]
    assert (await service.json("POST", "/ingest", 429, json={**OPENING, "grid": GRID}))["code"] == "scans"
    async with line(service, infos[0]["url"]) as scanner:
        await scanner.say(type="abort")
        await scanner.hear("end")
    await service.until(infos[0]["slide"], "cancelled")
    await opened(service)


async def test_frames_over_the_limit_end_the_line_and_not_the_scan(service: Any) -> None:
    info = await opened(service)
    async with line(service, info["url"]) as scanner:
        await scanner.hear("credit")
        with suppress(ConnectionError):  # the server hangs up while the frame is still being sent
            await scanner.say(**field(0, b"x" * (21 << 20)))
        async with asyncio.timeout(10):
            while (await scanner.socket.receive()).type is WSMsgType.BINARY:
                pass
        assert scanner.socket.close_code in (1006, 1009)
    async with line(service, info["url"]) as scanner:
        assert (await scanner.hear("hello"))["received"] == []


async def test_a_text_frame_ends_the_line(service: Any) -> None:
    info = await opened(service)
    async with line(service, info["url"]) as scanner:
        await scanner.socket.send_str("hello")
        assert (await scanner.hear("error"))["code"] == "not_understood"


async def test_a_scan_that_the_last_stop_interrupted_stays_and_counts_its_attempts(service: Any) -> None:
    info = await opened(service)
    for attempts in range(1, 6):
        recover(service.app[STORE], service.app[SETTINGS].results, 5)
        shown = await service.json("GET", f"/slides/{info['slide']}")
        assert (shown["status"], shown["attempts"]) == ("running", attempts)
    recover(service.app[STORE], service.app[SETTINGS].results, 5)
    shown = await service.json("GET", f"/slides/{info['slide']}")
    assert (shown["status"], shown["code"]) == ("failed", "gave_up")


async def test_a_scan_of_which_nothing_is_left_has_failed(service: Any) -> None:
    info = await opened(service)
    rmtree(service.app[SETTINGS].scans / info["slide"])
    service.app[SCANS].forget(info["slide"])
    await service.app[DISPATCHER]._resume_scans()
    assert (await service.until(info["slide"], "failed"))["code"] == "interrupted"


async def test_its_picture_is_not_there_and_says_so(service: Any) -> None:
    info = await opened(service)
    async with line(service, info["url"]) as scanner:
        await scanner.say(type="close", fields=0)
        await scanner.hear("end")
    answer = await service.ask("GET", f"/slides/{info['slide']}/image_files/8/0_0.jpeg")
    assert answer.status in (404, 422)


def played(service: Any, session: ClientSession, faults: str, interval: float = 0.0) -> Scanner:
    """scan-sim's scanner with a course of 30 fields."""
    cut = Cut(64, 64, 6, 5, 60, 60, 0.5)
    course = plan_course(len(cut), Faults.parse(faults), 3, 4)

    def take(index: int) -> dict[str, Any]:
        x, y = cut.corner(index)
        return {**field(0), "index": index, "x": x * cut.mpp, "y": y * cut.mpp}

    return Scanner(session, cut, course, take, interval)


@pytest.mark.parametrize("gridded", [True, False])
async def test_the_scanner_of_scan_sim_sends_each_field_once_whatever_goes_wrong(service: Any, gridded: bool) -> None:
    headers = {"Authorization": f"Bearer {service.token}"}
    async with ClientSession(service.base, headers=headers) as session:
        scanner = played(service, session, "lost=0.1,repeated=0.2,reordered=0.4,cut=6")
        told = await asyncio.wait_for(scanner.scan("scan", gridded), 60)
    lost = scanner._course.lost
    assert (told.end["status"], told.cuts, len(lost), told.refused) == ("done", 6, 3, {})
    (numbers,) = survey(service).fields.values()
    assert sorted(numbers) == sorted(set(range(30)) - lost)
    assert told.accepted == set(numbers)
    (passed,) = survey(service).passed.values()
    assert passed[-1].taken == 30
    assert any(mark.sealed for mark in passed) is not gridded


async def test_a_scanner_of_scan_sim_that_is_cancelled_gives_its_scan_up(service: Any) -> None:
    headers = {"Authorization": f"Bearer {service.token}"}
    async with ClientSession(service.base, headers=headers) as session:
        scanner = played(service, session, "", interval=0.1)
        scanning = asyncio.create_task(scanner.scan("scan"))
        async with asyncio.timeout(20):
            while not scanner.told.accepted:
                await asyncio.sleep(0.01)
        scanning.cancel()
        await asyncio.gather(scanning, return_exceptions=True)
    await service.until(scanner.told.slide, "cancelled")


async def acknowledged(scanner: Line, indices: range) -> None:
    await scanner.hear("credit")
    for index in indices:
        await scanner.say(**field(index))
    got: set[int] = set()
    while got != set(indices):
        got |= set((await scanner.hear("ack"))["accepted"])


async def test_a_watermark_is_known_after_a_restart_and_reaches_the_pipeline_again(
    settings: ServiceSettings, started: Any
) -> None:
    async with started(settings) as service:
        info = await opened(service)
        async with line(service, info["url"]) as scanner:
            await acknowledged(scanner, range(3))
            for index in (3, 5, 7):
                await scanner.say(type="watermark", index=index)
            while "7" not in (settings.scans / info["slide"] / JOURNAL).read_text():
                await asyncio.sleep(0.01)
    async with started(settings) as service:
        async with line(service, info["url"]) as scanner:
            hello = await scanner.hear("hello")
            assert (hello["received"], hello["watermark"]) == ([[0, 2]], 7)
            await scanner.hear("credit")
            await scanner.say(**field(5))
            assert (await scanner.hear("refused"))["code"] == "late"
        while not survey(service).passed[info["slide"]]:
            await asyncio.sleep(0.01)
        assert [passed.through for passed in survey(service).passed[info["slide"]]] == [7]


async def test_a_field_whose_file_is_torn_is_asked_for_again_though_the_scan_was_closed(
    settings: ServiceSettings, started: Any
) -> None:
    async with started(settings) as service:
        info = await opened(service)
        survey(service).hold = True
        async with line(service, info["url"]) as scanner:
            await acknowledged(scanner, range(5))
            await scanner.say(type="watermark", index=4)
            await scanner.say(type="close", fields=5)
            while not (settings.scans / info["slide"] / CLOSED).exists():
                await asyncio.sleep(0.01)
            survey(service).go.set()
    engine = service.app[STORE]._sessions.kw["bind"]
    with engine.begin() as connection:  # as if the power had gone before its end was written down
        connection.execute(text("UPDATE jobs SET status = 'running'"))
    rmtree(settings.results / info["slide"], ignore_errors=True)
    fields = {kept.index: kept.path for kept in kept_fields(settings.scans / info["slide"])}
    fields[1].write_bytes(b"")
    fields[2].write_bytes(b"pic")
    fields[3].write_bytes(bytes(7))
    async with started(settings) as service, line(service, info["url"]) as scanner:
        hello = await scanner.hear("hello")
        assert (hello["received"], hello["watermark"], hello["closed"]) == ([[0, 0], [4, 4]], 0, False)
        await acknowledged(scanner, range(1, 4))
        await scanner.say(type="close", fields=5)
        assert (await scanner.hear("end"))["status"] == "done"
        assert sorted(survey(service).fields[info["slide"]]) == list(range(5))


@pytest.mark.parametrize("document", [b"", b'{"owner": "x"}', b"[]", b'{"owner": "x", "opening": {}}'])
async def test_a_damaged_scan_fails_alone_and_says_so(settings: ServiceSettings, started: Any, document: bytes) -> None:
    async with started(settings) as service:
        info = await opened(service)
    (settings.scans / info["slide"] / DECLARATION).write_bytes(document)
    async with started(settings) as service:
        failed = await service.until(info["slide"], "failed")
        assert failed["code"] == "damaged"
        await service.until(await service.submit("a.png"), "done")


async def test_a_scan_that_fails_within_is_ended_and_its_scanner_told(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = await opened(service)

    def broken(*_: Any) -> None:
        raise RuntimeError("injected")

    monkeypatch.setattr(service.app[DISPATCHER].pipeline, "push", broken)
    async with line(service, info["url"]) as scanner:
        await scanner.say(**field(0))
        assert (await scanner.hear("end"))["status"] == "failed"
