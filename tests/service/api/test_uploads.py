"""Resumable uploads: the tus protocol's core and creation."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError

from hema_stream.service.parts import RETENTION, UPLOADS

BODY = bytes(range(256)) * 40
TUS = {"Tus-Resumable": "1.0.0"}
PART = {**TUS, "Content-Type": "application/offset+octet-stream"}


def metadata(**values: str) -> str:
    return ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in values.items())


async def begun(service: Any, length: int = len(BODY), **values: str) -> str:
    headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": metadata(**values)}
    answer = await service.ask("POST", "/uploads", headers=headers)
    assert answer.status == 201
    return str(answer.headers["Location"]).removeprefix("/api/v1")


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "service.db" not in path.name]


async def append(service: Any, upload: str, offset: int, data: Any) -> Any:
    return await service.ask("PATCH", upload, headers={**PART, "Upload-Offset": str(offset)}, data=data)


async def test_an_upload_in_parts_is_queued_with_its_last_byte(service: Any) -> None:
    upload = await begun(service, filename="smear 1.PNG", mpp="0.25", priority="4")
    slide = upload.split("/")[-1]
    made = await service.json("GET", f"/slides/{slide}")
    assert (made["status"], made["name"], made["mpp"], made["priority"]) == ("uploading", "smear 1.PNG", 0.25, 4)
    for first in range(0, len(BODY), 4000):
        part = BODY[first : first + 4000]
        answer = await append(service, upload, first, part)
        assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(first + len(part)))
        if first + 4000 < len(BODY):
            assert (await service.json("GET", f"/slides/{slide}"))["status"] == "uploading"
    await service.until(slide, "done")
    (stored,) = (service.root.parent / "data" / "uploads").iterdir()
    assert stored.read_bytes() == BODY
    assert stored.name == f"{slide}.png"


async def test_what_arrived_before_the_connection_broke_is_kept(service: Any) -> None:
    upload = await begun(service)

    async def breaking() -> Any:
        yield BODY[:3000]
        await asyncio.sleep(0.2)
        raise ConnectionResetError

    with pytest.raises(ClientError):
        await append(service, upload, 0, breaking())
    await asyncio.sleep(0.3)
    answer = await service.ask("HEAD", upload, headers=TUS)
    assert answer.headers["Upload-Length"] == str(len(BODY))
    arrived = int(answer.headers["Upload-Offset"])
    assert arrived == 3000
    assert (await append(service, upload, arrived, BODY[arrived:])).status == 204
    await service.until(upload.split("/")[-1], "done")


async def test_a_wrong_offset_is_refused_with_the_right_one(service: Any) -> None:
    upload = await begun(service)
    await append(service, upload, 0, BODY[:100])
    answer = await append(service, upload, 0, BODY[:100])
    assert answer.status == 409
    assert "100" in (await answer.json(content_type=None))["detail"]


async def test_a_newer_request_takes_over_from_one_whose_client_is_gone_without_a_word(service: Any) -> None:
    upload = await begun(service)
    slide, go = upload.split("/")[-1], asyncio.Event()
    (stored,) = (service.root.parent / "data" / "uploads").iterdir()

    async def stalled() -> Any:
        yield BODY[:100]
        await go.wait()

    first = asyncio.create_task(append(service, upload, 0, stalled()))
    while stored.stat().st_size < 100:
        await asyncio.sleep(0.01)
    second = await append(service, upload, 100, BODY[100:])
    assert second.status == 204
    go.set()
    assert (await first).status == 409
    await service.until(slide, "done")
    assert stored.read_bytes() == BODY


async def test_a_request_that_stalls_is_ended_in_its_time(settings: Any, started: Any) -> None:
    uploads = settings.limits.uploads.model_copy(update={"patience": 0.2})
    limits = settings.limits.model_copy(update={"uploads": uploads})
    async with started(replace(settings, limits=limits)) as service:
        upload, go = await begun(service), asyncio.Event()

        async def stalled() -> Any:
            yield BODY[:100]
            await go.wait()

        answer = await append(service, upload, 0, stalled())
        go.set()
        assert answer.status == 408
        assert (await service.ask("HEAD", upload, headers=TUS)).headers["Upload-Offset"] == "100"


@pytest.mark.parametrize("asked", [True, False])
async def test_an_upload_whose_last_answer_was_lost_is_queued(service: Any, asked: bool) -> None:
    """All bytes arrive, the request's end does not: with HEAD a client learns that it has finished."""
    upload = await begun(service)
    go = asyncio.Event()

    async def breaking() -> Any:
        yield BODY
        await go.wait()
        raise ConnectionResetError

    sending = asyncio.create_task(append(service, upload, 0, breaking()))
    (stored,) = (service.root.parent / "data" / "uploads").iterdir()
    while stored.stat().st_size < len(BODY):
        await asyncio.sleep(0.01)
    go.set()
    await asyncio.gather(sending, return_exceptions=True)
    if asked:
        assert (await service.ask("HEAD", upload, headers=TUS)).headers["Upload-Offset"] == str(len(BODY))
    await service.until(upload.split("/")[-1], "done")


async def test_an_upload_that_was_whole_when_the_service_was_killed_is_queued_by_the_next_start(
    settings: Any, started: Any
) -> None:
    async with started(settings) as service:
        upload = await begun(service)
        (stored,) = settings.uploads.iterdir()
        stored.write_bytes(BODY)  # as far as the request had come; its end was never written down
    async with started(settings) as service:
        await service.until(upload.split("/")[-1], "done")


async def test_an_upload_that_the_disk_has_no_room_for_any_more_is_told_and_gone_on_with_later(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that fitted one by one do not together: the disk keeps its reserve as they grow."""
    upload = await begun(service)
    await append(service, upload, 0, BODY[:1000])
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
        answer = await append(service, upload, 1000, BODY[1000:])
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (507, "disk")
    assert (await service.ask("HEAD", upload, headers=TUS)).headers["Upload-Offset"] == "1000"
    assert (await append(service, upload, 1000, BODY[1000:])).status == 204
    await service.until(upload.split("/")[-1], "done")


async def test_an_upload_that_cannot_be_begun_leaves_nothing(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "no inode is left")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        answer = await service.ask("POST", "/uploads", headers={**TUS, "Upload-Length": "5"})
    assert (answer.status, (await answer.json(content_type=None))["code"]) == (507, "disk")
    assert (await service.json("GET", "/slides"))["slides"] == []


async def test_more_than_was_announced_is_refused(service: Any) -> None:
    upload = await begun(service, length=10)
    assert (await append(service, upload, 0, b"x" * 11)).status == 413
    answer = await service.ask("HEAD", upload, headers=TUS)
    assert answer.headers["Upload-Offset"] == "0"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 412),
        ({"Tus-Resumable": "0.9"}, 412),
        (TUS, 400),
        ({**TUS, "Upload-Length": "0"}, 400),
        ({**TUS, "Upload-Length": "-5"}, 400),
        ({**TUS, "Upload-Length": "9" * 30}, 400),
        ({**TUS, "Upload-Length": str(1 << 50)}, 413),
        ({**TUS, "Upload-Length": "5", "Upload-Metadata": "filename ???"}, 400),
        ({**TUS, "Upload-Length": "5", "Upload-Metadata": metadata(mpp="-1")}, 400),
        ({**TUS, "Upload-Length": "5", "Upload-Metadata": metadata(mpp="nan")}, 400),
    ],
)
async def test_what_is_no_upload_is_refused(service: Any, headers: dict[str, str], status: int) -> None:
    answer = await service.ask("POST", "/uploads", headers=headers)
    assert answer.status == status
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert answer.content_type == "application/problem+json"


async def test_a_full_disk_is_told_before_anything_is_sent(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    answer = await service.ask("POST", "/uploads", headers={**TUS, "Upload-Length": "11"})
    assert answer.status == 507


@pytest.mark.parametrize(
    "name", ["../../evil.png", "/etc/passwd", "x.png/../../y", "a.p\x00ng", "..", "x.averylongsuffix"]
)
async def test_a_files_name_decides_no_path(service: Any, name: str) -> None:
    await begun(service, filename=name)
    uploads = service.root.parent / "data" / "uploads"
    (stored,) = files_in(service.root.parent)
    assert stored.parent == uploads
    assert stored.suffix in ("", ".png")


async def test_the_offer_says_what_there_is(service: Any) -> None:
    answer = await service.ask("OPTIONS", "/uploads", token="")
    assert answer.status == 204
    assert answer.headers["Tus-Extension"].split(",") == ["creation", "expiration"]


async def test_an_image_given_by_path_is_no_upload(service: Any) -> None:
    slide = await service.submit("a.png")
    assert (await append(service, f"/uploads/{slide}", 0, b"x")).status == 404
    assert (service.root / "a.png").read_bytes() == b"picture"


async def test_deleting_an_upload_removes_its_file(service: Any) -> None:
    upload = await begun(service)
    await append(service, upload, 0, BODY)
    slide = upload.split("/")[-1]
    await service.until(slide, "done")
    assert (await service.ask("DELETE", f"/slides/{slide}")).status == 204
    assert not list((service.root.parent / "data" / "uploads").iterdir())


async def test_an_unfinished_upload_says_when_it_expires_and_a_whole_one_does_not(service: Any) -> None:
    headers = {**TUS, "Upload-Length": str(len(BODY))}
    made = await service.ask("POST", "/uploads", headers=headers)
    upload = made.headers["Location"].removeprefix("/api/v1")
    part = await append(service, upload, 0, BODY[:100])
    stands = await service.ask("HEAD", upload, headers=TUS)
    for answer in (made, part, stands):
        left = parsedate_to_datetime(answer.headers["Upload-Expires"]) - datetime.now(UTC)
        assert timedelta(hours=23, minutes=59) < left <= timedelta(hours=24)
    assert "Upload-Expires" not in (await append(service, upload, 100, BODY[100:])).headers


async def test_an_upload_that_has_expired_is_gone(service: Any) -> None:
    upload = await begun(service)
    await append(service, upload, 0, BODY[:100])
    slide = upload.split("/")[-1]
    (stored,) = (service.root.parent / "data" / "uploads").iterdir()
    yesterday = time.time() - 25 * 3600
    os.utime(stored, (yesterday, yesterday))
    for method, headers in (("HEAD", TUS), ("PATCH", {**PART, "Upload-Offset": "100"})):
        assert (await service.ask(method, upload, headers=headers, data=BODY[100:])).status == 410
    await service.app[RETENTION].sweep(datetime.now(UTC))
    assert not stored.exists()
    gone = await service.json("GET", f"/slides/{slide}")
    assert (gone["status"], gone["code"]) == ("cancelled", "expired")
    assert (await service.ask("HEAD", upload, headers=TUS)).status == 410
    assert not service.app[UPLOADS].busy(slide)


async def test_an_upload_that_is_being_written_does_not_expire(service: Any) -> None:
    upload = await begun(service)
    go = asyncio.Event()

    async def slow() -> Any:
        yield BODY[:100]
        await go.wait()
        yield BODY[100:]

    writing = asyncio.create_task(append(service, upload, 0, slow()))
    while not service.app[UPLOADS].busy(upload.split("/")[-1]):
        await asyncio.sleep(0.01)
    await service.app[RETENTION].sweep(datetime.now(UTC) + timedelta(days=2))
    go.set()
    assert (await writing).status == 204
    await service.until(upload.split("/")[-1], "done")
