"""Slides over REST: submitted, listed, hurried, cancelled, deleted."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from hema_stream.service.jobs import Status
from hema_stream.service.parts import SETTINGS, STORE


async def test_a_submitted_image_is_analysed(service: Any) -> None:
    answer = await service.ask("POST", "/slides", json={"path": service.image("a.png"), "mpp": 0.2, "priority": 3})
    made = await answer.json()
    assert answer.status == 201
    assert answer.headers["Location"] == f"/api/v1/slides/{made['id']}"
    assert (made["name"], made["status"], made["mpp"], made["priority"]) == ("a.png", "queued", 0.2, 3)
    done = await service.until(made["id"], "done")
    assert (done["counts"]["cells"], done["progress"]["planned"]) == (180, 1)
    assert (done["width"], done["height"]) == (1000, 800)
    assert done["report"] == f"/api/v1/slides/{made['id']}/report"


async def test_a_refused_image_says_why(service: Any) -> None:
    refused = await service.until(await service.submit("bad-1.png"), "rejected")
    assert (refused["code"], refused["message"], refused["report"]) == (
        "unreadable",
        "no picture: export it again",
        None,
    )


async def test_an_image_that_fails_leaves_the_others_alone(service: Any) -> None:
    broken, good = await service.submit("broken-1.png"), await service.submit("a.png")
    assert (await service.until(broken, "failed"))["code"] == "ValueError"
    await service.until(good, "done")


@pytest.mark.parametrize(
    "path",
    ["../secret.png", "link.png", "linked/secret.png", "", "missing.png", ".", "a\0b", "/etc/passwd", "\ud800"],
)
async def test_what_lies_outside_the_roots_is_refused(service: Any, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (service.root / "link.png").symlink_to(tmp_path / "secret.png")
    (service.root / "linked").symlink_to(tmp_path)
    body = b'{"path": "\\ud800"}' if path == "\ud800" else None
    options = {"data": body, "headers": {"Content-Type": "application/json"}} if body else {"json": {"path": path}}
    answer = await service.ask("POST", "/slides", **options)
    assert answer.status in (400, 422)
    assert "secret" not in await answer.text()
    assert (await service.json("GET", "/slides"))["slides"] == []


async def test_an_absolute_path_within_a_root_is_fine(service: Any) -> None:
    name = service.image("a.png")
    await service.json("POST", "/slides", 201, json={"path": str(service.root / name)})


async def test_a_path_that_leads_elsewhere_by_the_time_it_is_read_is_rejected(service: Any, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    blockers = [await service.submit(f"slow-{number}.png") for number in range(2)]
    for blocker in blockers:
        await service.until(blocker, "running")
    slide = await service.submit("a.png")
    os.unlink(service.root / "a.png")
    (service.root / "a.png").symlink_to(tmp_path / "secret.png")
    service.pretend.go.set()
    assert (await service.until(slide, "rejected"))["code"] == "not_found"
    assert "a.png" not in service.pretend.begun


@pytest.mark.parametrize("name", ["<script>alert(1)</script>.png", "../../x.png", "a\u202eb.png", "\x1b[31m.png"])
async def test_a_name_is_shown_and_never_trusted(service: Any, name: str) -> None:
    made = await service.json("POST", "/slides", 201, json={"path": service.image("a.png"), "name": name})
    assert "/" not in made["name"]
    assert made["name"].isprintable()
    answer = await service.ask("GET", f"/slides/{made['id']}")
    assert answer.content_type == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


async def test_the_list_is_filtered_and_paged(service: Any) -> None:
    ids = [await service.submit(f"a{number}.png") for number in range(5)]
    bad = await service.submit("bad-x.png")
    for slide in ids:
        await service.until(slide, "done")
    await service.until(bad, "rejected")
    first = await service.json("GET", "/slides?status=done,failed&limit=3")
    second = await service.json("GET", f"/slides?status=done&limit=3&before={first['before']}")
    assert [job["id"] for job in [*first["slides"], *second["slides"]]] == ids[::-1]
    assert second["before"] is None
    assert [job["id"] for job in (await service.json("GET", "/slides?q=BAD-"))["slides"]] == [bad]


@pytest.mark.parametrize("query", ["status=flying", "limit=0", "limit=x", "before=-1", "unknown=1", "limit=9999"])
async def test_a_query_that_means_nothing_is_told(service: Any, query: str) -> None:
    problem = await service.json("GET", f"/slides?{query}", 422)
    assert problem["code"] == "invalid"
    assert query.split("=")[0] in problem["detail"]


async def test_the_urgent_go_first(service: Any) -> None:
    blockers = [await service.submit(f"slow-{number}.png") for number in range(2)]
    for blocker in blockers:
        await service.until(blocker, "running")
    ids = [await service.submit(f"{name}.png", priority=priority) for name, priority in (("a", 0), ("b", 1), ("c", 0))]
    await service.json("PATCH", f"/slides/{ids[2]}", json={"priority": 9})
    service.pretend.go.set()
    for slide in ids:
        await service.until(slide, "done")
    assert [name for name in service.pretend.begun if not name.startswith("slow")] == ["c.png", "b.png", "a.png"]


async def test_a_running_slide_shows_the_counts_of_the_moment(service: Any) -> None:
    slide = await service.submit("slow-1.png")
    await service.until(slide, "running")
    while not (found := await service.json("GET", f"/slides/{slide}"))["counts"]:
        assert found["status"] == "running"
    assert 0 < found["counts"]["cells"] < 180


async def test_a_running_slide_is_cancelled_and_keeps_what_was_counted(service: Any) -> None:
    slide = await service.submit("slow-1.png")
    while not (await service.json("GET", f"/slides/{slide}"))["counts"]:
        pass
    service_before = service.pretend
    await service.json("POST", f"/slides/{slide}/cancel", 202)
    service_before.go.set()
    cancelled = await service.until(slide, "cancelled")
    assert 0 < cancelled["counts"]["cells"] < 180
    report = await service.json("GET", f"/slides/{slide}/report")
    assert report["status"] == "partial"
    assert report["summary"]["total_cells"] == cancelled["counts"]["cells"]
    assert (await service.json("POST", f"/slides/{slide}/cancel", 409))["code"] == "job_state"


async def test_a_cancelled_slide_is_run_again_from_its_image_and_is_whole_then(service: Any) -> None:
    slide = await service.submit("slow-1.png")
    await service.until(slide, "running")
    assert (await service.json("POST", f"/slides/{slide}/again", 409, json={}))["code"] == "job_state"
    while not (await service.json("GET", f"/slides/{slide}"))["counts"].get("cells"):
        await asyncio.sleep(0.01)
    await service.json("POST", f"/slides/{slide}/cancel", 202)
    partial = await service.until(slide, "cancelled")
    queued = await service.json("POST", f"/slides/{slide}/again", 201, json={"mpp": 0.3})
    service.pretend.go.set()
    assert (queued["mpp"], queued["name"], queued["id"] != slide) == (0.3, "slow-1.png", True)
    done = await service.until(queued["id"], "done")
    assert partial["counts"]["cells"] < done["counts"]["cells"] == 180
    assert (await service.json("GET", f"/slides/{slide}"))["status"] == "cancelled"
    assert (await service.json("POST", f"/slides/{queued['id']}/again", 409, json={}))["code"] == "job_state"


async def uploaded_and_failed(service: Any) -> str:
    """An upload whose slide is said to have failed."""
    tus = {"Tus-Resumable": "1.0.0"}
    made = await service.ask("POST", "/uploads", headers={**tus, "Upload-Length": "7"})
    slide = str(made.headers["Location"].rsplit("/", 1)[1])
    octets = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    await service.ask("PATCH", f"/uploads/{slide}", headers={**tus, **octets}, data=b"picture")
    await service.until(slide, "done")
    service.app[STORE]._change(slide, (Status.DONE,), {"status": Status.FAILED})
    return slide


async def test_an_upload_that_is_run_again_is_each_slide_s_own(service: Any) -> None:
    slide = await uploaded_and_failed(service)
    further = await service.json("POST", f"/slides/{slide}/again", 201, json={})
    assert (await service.ask("DELETE", f"/slides/{slide}")).status == 204
    await service.until(further["id"], "done")
    assert Path(service.app[STORE].get(further["id"]).path).read_bytes() == b"picture"


async def test_an_upload_that_the_disk_does_not_take_again_leaves_nothing(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide = await uploaded_and_failed(service)
    uploads = service.app[SETTINGS].uploads
    before = sorted(uploads.iterdir())

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    assert (await service.json("POST", f"/slides/{slide}/again", 507, json={}))["code"] == "disk"
    assert [job["id"] for job in (await service.json("GET", "/slides"))["slides"]] == [slide]
    assert sorted(uploads.iterdir()) == before


async def test_what_is_gone_or_came_in_part_is_not_run_again(service: Any) -> None:
    refused = await service.submit("bad-1.png")
    await service.until(refused, "rejected")
    (service.root / "bad-1.png").unlink()
    assert (await service.json("POST", f"/slides/{refused}/again", 410, json={}))["code"] == "image"
    tus = {"Tus-Resumable": "1.0.0"}
    made = await service.ask("POST", "/uploads", headers={**tus, "Upload-Length": "9"})
    half = made.headers["Location"].rsplit("/", 1)[1]
    octets = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    await service.ask("PATCH", f"/uploads/{half}", headers={**tus, **octets}, data=b"half")
    await service.json("POST", f"/slides/{half}/cancel", 202)
    assert (await service.json("POST", f"/slides/{half}/again", 410, json={}))["code"] == "image"


async def test_a_waiting_slide_is_cancelled_and_never_begun(service: Any) -> None:
    for number in range(2):
        await service.until(await service.submit(f"slow-{number}.png"), "running")
    waiting = await service.submit("a.png")
    await service.json("POST", f"/slides/{waiting}/cancel", 202)
    service.pretend.go.set()
    after = await service.submit("b.png")
    await service.until(after, "done")
    assert "a.png" not in service.pretend.begun
    assert (await service.json("GET", f"/slides/{waiting}"))["status"] == "cancelled"


async def test_a_slide_is_deleted_with_its_results_but_not_its_image(service: Any) -> None:
    slide = await service.submit("a.png")
    await service.until(slide, "done")
    assert (await service.ask("DELETE", f"/slides/{slide}")).status == 204
    assert (await service.json("GET", f"/slides/{slide}", 404))["code"] == "slide"
    assert (service.root / "a.png").exists()
    assert not list(service.root.parent.glob(f"data/results/{slide}"))


async def test_a_running_slide_is_not_deleted(service: Any) -> None:
    slide = await service.submit("slow-1.png")
    await service.until(slide, "running")
    assert (await service.json("DELETE", f"/slides/{slide}", 409))["code"] == "job_state"
