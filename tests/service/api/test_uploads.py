"""Resumable uploads: the tus protocol's core and creation."""

from __future__ import annotations

import asyncio
import os
import time
from base64 import b64encode
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


async def test_two_do_not_write_one_upload(service: Any) -> None:
    upload = await begun(service)
    go = asyncio.Event()

    async def slow() -> Any:
        yield BODY[:100]
        await go.wait()
        yield BODY[100:]

    first = asyncio.create_task(append(service, upload, 0, slow()))
    while not any(lock.locked() for lock in service.app[UPLOADS].values()):
        await asyncio.sleep(0.01)
    second = await append(service, upload, 100, b"x" * 10)
    go.set()
    assert second.status == 423
    assert (await first).status == 204


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
    assert not service.app[UPLOADS]


async def test_an_upload_that_is_being_written_does_not_expire(service: Any) -> None:
    upload = await begun(service)
    go = asyncio.Event()

    async def slow() -> Any:
        yield BODY[:100]
        await go.wait()
        yield BODY[100:]

    writing = asyncio.create_task(append(service, upload, 0, slow()))
    while not any(lock.locked() for lock in service.app[UPLOADS].values()):
        await asyncio.sleep(0.01)
    await service.app[RETENTION].sweep(datetime.now(UTC) + timedelta(days=2))
    go.set()
    assert (await writing).status == 204
    await service.until(upload.split("/")[-1], "done")
