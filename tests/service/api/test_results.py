"""Reports and artefacts: handed out by name, nothing else."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest


async def test_the_report_is_the_file_that_its_digest_says(service: Any) -> None:
    slide = await service.submit("a.png")
    done = await service.until(slide, "done")
    answer = await service.ask("GET", f"/slides/{slide}/report")
    assert answer.content_type == "application/json"
    assert sha256(await answer.read()).hexdigest() == done["sha256"]


async def test_artefacts_are_listed_as_they_are(service: Any) -> None:
    slide = await service.submit("a.png")
    await service.until(slide, "done")
    listed = (await service.json("GET", f"/slides/{slide}/artefacts"))["artefacts"]
    assert [entry["name"] for entry in listed] == ["report.json"]
    answer = await service.ask("GET", listed[0]["url"].removeprefix("/api/v1"))
    assert len(await answer.read()) == listed[0]["bytes"]
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{slide}-report.json"'


@pytest.mark.parametrize(
    "name", ["overlay.png", "..%2F..%2Fservice.db", "%2Fetc%2Fpasswd", "report.json%00", ".x.partial"]
)
async def test_nothing_else_is_handed_out(service: Any, name: str) -> None:
    slide = await service.submit("a.png")
    await service.until(slide, "done")
    (service.root.parent / "data" / "results" / slide / ".x.partial").write_bytes(b"secret")
    assert (await service.ask("GET", f"/slides/{slide}/artefacts/{name}")).status == 404


async def test_there_is_no_report_before_its_time(service: Any) -> None:
    slide = await service.submit("bad-1.png")
    await service.until(slide, "rejected")
    assert (await service.json("GET", f"/slides/{slide}/report", 404))["code"] == "artefact"
    assert (await service.json("GET", "/slides/nobody/report", 404))["code"] == "slide"
