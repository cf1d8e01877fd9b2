"""The live WebSocket: who may follow, and that what was followed is what was found."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError
from live_client import documented

from hema_stream.service.parts import HUB, SETTINGS, TICKETS

CLIENT = documented()
RESUME = {"type": "resume", "run": "", "seq": 0}


async def ticket(service: Any, slide: str) -> str:
    return str((await service.json("POST", "/tickets", 201, json={"slide": slide}))["ticket"])


async def connect(
    service: Any, slide: str, shown: str | None = None, protocol: str = "hema.live.v1", **headers: str
) -> Any:
    shown = await ticket(service, slide) if shown is None else shown
    protocols = (protocol, f"ticket.{shown}")
    return await service.client.ws_connect(f"/api/v1/slides/{slide}/live", protocols=protocols, headers=headers)


async def refusal(*args: Any, **options: Any) -> int:
    with pytest.raises(WSServerHandshakeError) as caught:
        await connect(*args, **options)
    return caught.value.status


async def messages(socket: Any, until: str) -> list[dict[str, Any]]:
    found = []
    async with asyncio.timeout(20):
        async for frame in socket:
            found.append(msgpack.unpackb(frame.data))
            await socket.send_bytes(msgpack.packb({"type": "credit", "n": 4}))
            if found[-1]["type"] == until:
                break
    return found


def assert_as_reported(state: dict[str, Any], report: dict[str, Any]) -> None:
    wanted = {tuple(c["key"]): (c["classification"], c["unknown"], tuple(c["bbox"])) for c in report["cell_detections"]}
    kinds = ("rbc", "wbc", "platelet")
    found = {
        key: (
            state["classes"][kinds[kind]][best]["name"] if best >= 0 else None,
            bool(unknown),
            tuple(value / 100 for value in box),
        )
        for key, (kind, best, _, unknown, box) in state["cells"].items()
    }
    assert found == wanted


async def test_what_was_followed_is_what_was_reported(service: Any) -> None:
    slide = await service.submit("a.png")
    state = await asyncio.wait_for(CLIENT.follow(service.base, service.token, slide), 20)
    report = await service.json("GET", f"/slides/{slide}/report")
    assert_as_reported(state, report)
    assert state["progress"] == {**report["quality_metrics"]["tiles"], "planned": 1}
    assert state["tiles"] == {0: 0}


async def test_a_slide_that_waits_can_be_followed_from_before_its_start(service: Any) -> None:
    for number in range(2):
        await service.until(await service.submit(f"slow-{number}.png"), "running")
    slide = await service.submit("a.png")
    following = asyncio.create_task(CLIENT.follow(service.base, service.token, slide))
    while not service.app[HUB].clients():
        await asyncio.sleep(0.01)
    service.pretend.go.set()
    state = await asyncio.wait_for(following, 20)
    assert_as_reported(state, await service.json("GET", f"/slides/{slide}/report"))


async def test_a_cancelled_slide_ends_with_what_its_partial_report_holds(service: Any) -> None:
    slide = await service.submit("slow-1.png")
    following = asyncio.create_task(CLIENT.follow(service.base, service.token, slide))
    while not (await service.json("GET", f"/slides/{slide}"))["counts"]:
        await asyncio.sleep(0.01)
    stage = service.pretend
    await service.json("POST", f"/slides/{slide}/cancel", 202)
    stage.go.set()
    state = await asyncio.wait_for(following, 20)
    assert state["status"] == "cancelled"
    report = await service.json("GET", f"/slides/{slide}/report")
    assert report["cell_detections"]
    assert_as_reported(state, report)
    assert state["progress"] == {**report["quality_metrics"]["tiles"], "planned": 1}


async def test_a_client_that_comes_back_is_told_what_it_missed(service: Any) -> None:
    slide = await service.submit("slow-1.png")
    state: dict[str, Any] = {"cells": {}, "tiles": {}, "seq": 0}
    first = await connect(service, slide)
    await first.send_bytes(msgpack.packb(RESUME))
    for message in await messages(first, "delta"):
        CLIENT.apply(state, message)
    await first.close()
    service.pretend.go.set()
    await service.until(slide, "done")
    second = await connect(service, slide)
    await second.send_bytes(msgpack.packb({**RESUME, "run": state["run"], "seq": state["seq"]}))
    told = await messages(second, "end")
    assert [message["type"] for message in told if message["type"] != "image"] == ["hello", "resumed", "delta", "end"]
    for message in told:
        CLIENT.apply(state, message)
    assert_as_reported(state, await service.json("GET", f"/slides/{slide}/report"))


async def test_who_does_not_read_holds_nobody_up(service: Any) -> None:
    slide = await service.submit("slow-1.png")
    idle = [await connect(service, slide) for _ in range(5)]
    for socket in idle:
        await socket.send_bytes(msgpack.packb(RESUME))
    following = asyncio.create_task(CLIENT.follow(service.base, service.token, slide))
    service.pretend.go.set()
    state = await asyncio.wait_for(following, 20)
    assert len(state["cells"]) == 180
    for socket in idle:
        await socket.close()


async def test_a_ticket_serves_once(service: Any) -> None:
    slide = await service.submit("a.png")
    shown = await ticket(service, slide)
    await (await connect(service, slide, shown)).close()
    assert await refusal(service, slide, shown) == 401


async def test_a_ticket_of_another_slide_is_refused_and_used_up(service: Any) -> None:
    slide, other = await service.submit("a.png"), await service.submit("b.png")
    shown = await ticket(service, other)
    assert await refusal(service, slide, shown) == 401
    assert await refusal(service, other, shown) == 401


async def test_an_expired_ticket_is_refused(service: Any) -> None:
    slide = await service.submit("a.png")
    late = service.app[TICKETS].issue(slide, asyncio.get_running_loop().time() - 31)
    assert await refusal(service, slide, late) == 401


async def test_a_token_in_the_url_or_as_a_ticket_opens_nothing(service: Any) -> None:
    slide = await service.submit("a.png")
    assert await refusal(service, slide, service.token) == 401
    with pytest.raises(WSServerHandshakeError):
        await service.client.ws_connect(
            f"/api/v1/slides/{slide}/live?ticket={await ticket(service, slide)}", protocols=("hema.live.v1",)
        )


async def test_a_page_of_somebody_else_is_refused(service: Any) -> None:
    slide = await service.submit("a.png")
    for origin in (
        "https://evil.example",
        "null",
        service.base.replace("http", "https"),
        f"{service.base}.evil.example",
    ):
        assert await refusal(service, slide, Origin=origin) == 403


async def test_pages_of_its_own_and_of_allowed_origins_are_let_in(service: Any) -> None:
    slide = await service.submit("a.png")
    service.app._state[SETTINGS] = replace(service.app[SETTINGS], origins=("https://viewer.example",))
    for origin in (service.base, "https://viewer.example"):
        socket = await connect(service, slide, Origin=origin)
        assert socket.protocol == "hema.live.v1"
        await socket.close()


async def test_another_subprotocol_is_refused(service: Any) -> None:
    slide = await service.submit("a.png")
    assert await refusal(service, slide, protocol="hema.live.v0") == 400


async def test_a_slide_that_is_gone_is_not_followed(service: Any) -> None:
    slide = await service.submit("a.png")
    await service.until(slide, "done")
    shown = await ticket(service, slide)
    await service.ask("DELETE", f"/slides/{slide}")
    assert await refusal(service, slide, shown) == 404


@pytest.mark.parametrize(
    ("frame", "code"), [(b"x" * 5000, 1009), (b"\xff", 1008), ("text", 1008)], ids=["oversized", "no message", "text"]
)
async def test_frames_that_are_none_of_the_protocols_end_the_connection(service: Any, frame: Any, code: int) -> None:
    slide = await service.submit("slow-1.png")
    socket = await connect(service, slide)
    await (socket.send_bytes(frame) if isinstance(frame, bytes) else socket.send_str(frame))
    async with asyncio.timeout(10):
        while (message := await socket.receive()).type is WSMsgType.BINARY:
            pass
    assert message.type is WSMsgType.CLOSE or message.type is WSMsgType.CLOSED
    assert socket.close_code == code


async def test_a_client_that_vanishes_is_forgotten(service: Any) -> None:
    slide = await service.submit("slow-1.png")
    socket = await connect(service, slide)
    await socket.send_bytes(msgpack.packb(RESUME))
    while not service.app[HUB].clients():
        await asyncio.sleep(0.01)
    socket._response.connection.transport.abort()
    async with asyncio.timeout(10):
        while service.app[HUB].clients():
            await asyncio.sleep(0.01)


async def test_too_many_clients_are_told_to_come_later(service: Any) -> None:
    slide = await service.submit("slow-1.png")
    limits = service.app[SETTINGS].limits
    few = limits.model_copy(update={"live": limits.live.model_copy(update={"clients": 1})})
    service.app._state[SETTINGS] = replace(service.app[SETTINGS], limits=few)
    socket = await connect(service, slide)
    assert await refusal(service, slide) == 503
    await socket.close()


async def test_an_ended_slide_that_is_no_longer_held_is_told_by_its_end(service: Any) -> None:
    slide = await service.submit("a.png")
    done = await service.until(slide, "done")
    service.app[HUB].forget(slide)
    socket = await connect(service, slide)
    await socket.send_bytes(msgpack.packb(RESUME))
    hello, end = await messages(socket, "end")
    assert hello["status"] == "done"
    assert (end["url"], end["sha256"], end["counts"]) == (done["report"], done["sha256"], done["counts"])
    await socket.close()
