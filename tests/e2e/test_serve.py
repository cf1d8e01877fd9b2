"""The service on real fields: what a client has followed equals the report, and a killed service loses nothing."""

from __future__ import annotations

import asyncio
import json
import struct
import time
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from live_client import documented
from service_process import ServiceProcess

KINDS = ("rbc", "wbc", "platelet")


def in_report(report: dict[str, Any]) -> dict[tuple[int, int], tuple[Any, ...]]:
    return {
        tuple(cell["key"]): (
            cell["type"],
            cell["classification"],
            cell["confidence"] or 0.0,
            cell["unknown"],
            tuple(cell["bbox"]),
        )
        for cell in report["cell_detections"]
    }


def in_client(state: dict[str, Any]) -> dict[tuple[int, int], tuple[Any, ...]]:
    found = {}
    for key, (kind, best, confidence, unknown, box) in state["cells"].items():
        name = None if best < 0 else state["classes"][KINDS[kind]][best]["name"]
        found[key] = (KINDS[kind], name, confidence / 10_000, bool(unknown), tuple(value / 100 for value in box))
    return found


def assert_equal(state: dict[str, Any], report: dict[str, Any]) -> None:
    """Keys, boxes, classes, unknown, counts, and how tiles ended."""
    assert in_client(state) == in_report(report)
    counts, summary = state["counts"], report["summary"]
    assert counts["cells"] == summary["total_cells"]
    assert [counts.get(kind, 0) for kind in KINDS] == [summary[f"{kind}_count"] for kind in KINDS]
    classes = {f"rbc/{name}": share["count"] for name, share in report["rbc_analysis"]["distribution"].items()}
    classes |= {f"wbc/{name}": count for name, count in report["wbc_differential"]["distribution"].items()}
    classes |= {"rbc/unknown": report["rbc_analysis"]["unknown"], "wbc/unknown": report["wbc_differential"]["unknown"]}
    classes |= {"rbc/cut": report["rbc_analysis"]["cut"]}
    assert {name: n for name, n in classes.items() if n} == {n: c for n, c in counts.items() if "/" in n and c}
    tiles = report["quality_metrics"]["tiles"]
    assert state["progress"] == {**tiles, "planned": sum(tiles.values())}
    ended = list(state["tiles"].values())
    outcomes = ("analysed", "background", "rejected", "gap", "cancelled")
    assert {name: ended.count(number) for number, name in enumerate(outcomes)} == tiles


def bomb() -> bytes:
    """A PNG of a few hundred bytes that says it has 3.6 thousand million pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(4096))
    parts = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (header, data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture(scope="module")
def service(fields: Path, slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("root")
    for path in (*fields.glob("*.png"), slide):
        (root / path.name).write_bytes(path.read_bytes())
    (root / "broken.png").write_bytes(b"no picture at all" * 99)
    (root / "bomb.png").write_bytes(bomb())
    with ServiceProcess(tmp_path_factory.mktemp("service") / "data", root) as running:
        yield running


@pytest.mark.parametrize("name", ["chula-106.png", "pbc-monocyte.png", "slide.png"])
def test_what_a_client_has_applied_equals_the_report(service: ServiceProcess, name: str) -> None:
    slide = service.submit(name)
    state = asyncio.run(asyncio.wait_for(documented().follow(service.base, service.token, slide), 90))
    assert state["status"] == "done"
    path = service.data / "results" / slide / "report.json"
    assert state["sha256"] == sha256(path.read_bytes()).hexdigest()
    report = json.loads(path.read_text())
    assert report["summary"]["total_cells"] > 0
    assert_equal(state, report)


def test_a_client_that_comes_late_has_the_same(service: ServiceProcess) -> None:
    slide = service.submit("chula-106.png")
    service.wait(lambda slides: all(job["status"] == "done" for job in slides))
    state = asyncio.run(asyncio.wait_for(documented().follow(service.base, service.token, slide), 30))
    assert_equal(state, service.ask("GET", f"/slides/{slide}/report"))


@pytest.mark.parametrize(("name", "code"), [("broken.png", "unreadable"), ("bomb.png", "bomb")])
def test_what_cannot_be_analysed_is_rejected_with_its_reason(service: ServiceProcess, name: str, code: str) -> None:
    slide = service.submit(name)
    state = asyncio.run(asyncio.wait_for(documented().follow(service.base, service.token, slide), 60))
    assert (state["status"], state["url"]) == ("rejected", None)
    assert service.ask("GET", f"/slides/{slide}")["code"] == code
    assert service.ask("GET", "/ready") == {"status": "ready"}


@pytest.mark.timeout(300)
def test_killed_in_mid_run_every_queued_image_ends_once(fields: Path, tmp_path: Path) -> None:
    """24 images, three kills; what had ended is not touched again, what had not is begun anew."""
    data, wanted = tmp_path / "data", 24
    service = ServiceProcess(data, fields)
    token, names = service.token, sorted(path.name for path in fields.glob("pbc-*.png"))
    ids = [service.submit(names[number % len(names)]) for number in range(wanted)]
    finished: dict[str, int] = {}
    for ended_by_then in (4, 10, 16):
        service.wait(lambda slides, least=ended_by_then: sum(job["status"] == "done" for job in slides) >= least)
        service.kill()
        finished |= {path.parent.name: path.stat().st_mtime_ns for path in data.glob("results/*/report.json")}
        service = ServiceProcess(data, fields, token)
    with service:
        service.wait(lambda slides: all(job["status"] == "done" for job in slides))
        slides = service.ask("GET", "/slides?limit=500")["slides"]
    assert sorted(job["id"] for job in slides) == sorted(ids)
    reports = {path.parent.name: path for path in data.glob("results/*/report.json")}
    assert sorted(reports) == sorted(ids)
    assert len(finished) >= 16
    assert {name: reports[name].stat().st_mtime_ns for name in finished} == finished
    assert all(job["sha256"] == sha256(reports[job["id"]].read_bytes()).hexdigest() for job in slides)
    assert max(job["attempts"] for job in slides) > 1


def test_told_to_stop_in_mid_slide_it_ends_in_time_and_goes_on_with_the_next_start(slide: Path, tmp_path: Path) -> None:
    service = ServiceProcess(tmp_path / "data", slide.parent)
    job = service.submit(slide.name)
    service.wait(lambda slides: slides[0]["counts"].get("cells", 0) > 0)
    began = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - began < 15
    with ServiceProcess(tmp_path / "data", slide.parent, service.token) as again:
        again.wait(lambda slides: slides[0]["status"] == "done")
        done = again.ask("GET", f"/slides/{job}")
    assert (done["attempts"], done["progress"]["analysed"]) == (2, 6)
