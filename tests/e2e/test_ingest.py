"""A scanner's fields through a served pipeline: what went wrong on the way changes nothing but what never came."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import msgpack
import numpy as np
import pytest
from service_process import ServiceProcess

from hema_stream.cli.scan.picture import Cut, Picture

SIDE = ("--field", "170", "150", "--overlap", "0.3")
SMALL = ("--field", "110", "100", "--overlap", "0.4")
CUTS = 10
pytestmark = pytest.mark.timeout(400)  # two whole scans a test, on machines with other work to do


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("root")
    with ServiceProcess(tmp_path_factory.mktemp("service") / "data", root) as running:
        yield running


def play(service: ServiceProcess, image: Path, *options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the scanner was told, and the report."""
    command = [sys.executable, "-m", "hema_stream.cli", "scan-sim", image, "--url", service.base, "--json", *options]
    done = subprocess.run([*map(str, command), "--token", service.token], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return told, service.ask("GET", f"/slides/{told['slide']}/report")


def found(report: dict[str, Any]) -> list[Any]:
    """Everything that is said of cells."""
    return [report[key] for key in ("summary", "rbc_analysis", "wbc_differential", "cell_detections")]


@pytest.mark.parametrize("way", [("--jitter", "1.5"), ("--no-grid",)], ids=["grid", "watermarks"])
def test_a_faulty_line_gives_the_report_of_a_clean_one_over_the_same_fields(
    service: ServiceProcess, fields: Path, way: tuple[str, ...]
) -> None:
    image = fields / "chula-106.png"
    clean, expected = play(service, image, "--rate", "0", *SIDE, *way, "--faults", "lost=0.1")
    faults = f"lost=0.1,repeated=0.2,reordered=0.4,cut={CUTS}"
    told, report = play(service, image, "--rate", "0", *SIDE, *way, "--faults", faults)
    assert told["left_out"] == clean["left_out"] == report["acquisition"]["missing"]
    assert len(told["left_out"]) == 2
    assert (told["cuts"], told["accepted"]) == (CUTS, told["fields"] - 2)
    assert told["sent"] > told["accepted"]
    assert report["acquisition"]["calibration_settled"]
    assert found(report) == found(expected)
    assert report["acquisition"] == expected["acquisition"]
    assert report["summary"]["total_cells"] > 50
    (lack,) = (lack for lack in report["missing"] if lack["code"] == "fields_missing")
    assert (report["status"], lack["n"], lack["of"]) == ("partial", 2, told["fields"])
    assert told["counts"] == {name: n for name, n in told["counts"].items() if n}
    assert told["counts"]["cells"] == report["summary"]["total_cells"]


def test_a_scanner_that_is_too_fast_waits_and_nothing_is_lost(service: ServiceProcess, fields: Path) -> None:
    told, report = play(service, fields / "chula-106.png", "--rate", "0", *SMALL)
    assert told["waited"] > 0.2 * told["seconds"]
    assert told["accepted"] == told["fields"] == report["quality_metrics"]["tiles"]["analysed"]
    assert (report["status"], report["missing"], report["acquisition"]["missing"]) == ("complete", [], [])
    assert report["acquisition"]["pairs_measured"] > told["fields"]


def test_overlapping_fields_count_what_the_whole_picture_counts(service: ServiceProcess, fields: Path) -> None:
    """Cells at the seams are there once: the whole picture, taken as one field, has about as many."""
    whole, _ = play(service, fields / "chula-106.png", "--field", "640", "480")
    cut, report = play(service, fields / "chula-106.png", "--rate", "0", "--field", "300", "240", "--overlap", "0.3")
    assert whole["fields"] == 1
    assert cut["fields"] > 4
    assert cut["counts"]["rbc"] == pytest.approx(whole["counts"]["rbc"], rel=0.1)
    assert report["quality_metrics"]["truncated"] < 0.05 * report["summary"]["total_cells"]


def test_a_scan_can_be_looked_at_and_has_its_overlay(service: ServiceProcess, fields: Path) -> None:
    told, _ = play(service, fields / "chula-106.png", "--rate", "0", *SIDE)
    folder = service.data / "results" / told["slide"]
    assert (folder / "overlay.png").stat().st_size > 10_000
    shown = service.ask("GET", f"/slides/{told['slide']}")
    picture = cv2.imread(str(fields / "chula-106.png"))
    assert (shown["width"], shown["height"]) == pytest.approx((picture.shape[1], picture.shape[0]), abs=8)
    level = (max(shown["width"], shown["height"]) - 1).bit_length()
    tile = cv2.imdecode(np.frombuffer(service.picture(told["slide"], level), np.uint8), cv2.IMREAD_COLOR)
    there = picture[: tile.shape[0], : tile.shape[1]]
    assert np.abs(tile.astype(int) - there).mean() < 4


def test_killed_in_mid_scan_the_next_start_goes_on_and_the_report_is_the_same(
    service: ServiceProcess, fields: Path, tmp_path: Path
) -> None:
    _, expected = play(service, fields / "chula-106.png", "--rate", "0", *SIDE)
    first = ServiceProcess(tmp_path / "data", tmp_path)
    picture = Picture(fields / "chula-106.png", None, 0.0, 95, 0)
    cut = Cut.of(picture.size, (int(SIDE[1]), int(SIDE[2])), float(SIDE[4]), picture.mpp)

    async def send(service: ServiceProcess, url: str, most: int) -> dict[str, Any]:
        """Send what is missing, ``most`` fields at the most; closes a scan of which nothing is missing."""
        headers, sent, credit = {"Authorization": f"Bearer {service.token}"}, 0, 0
        async with (
            aiohttp.ClientSession(service.base, headers=headers) as session,
            session.ws_connect(url, protocols=("hema.ingest.v1",)) as socket,
        ):
            async for frame in socket:
                said = msgpack.unpackb(frame.data)
                if said["type"] == "hello":
                    known = {i for a, b in said["received"] for i in range(a, b + 1)}
                    todo = [index for index in range(len(cut)) if index not in known]
                    began = len(known)
                credit += said.get("n", 0)
                known.update(said.get("accepted", ()))
                if said["type"] == "end" or len(known) == most:
                    return {**said, "began": began}
                while credit and todo and sent < most - began:
                    await socket.send_bytes(msgpack.packb(picture.field(cut, todo.pop(0))))
                    credit, sent = credit - 1, sent + 1
                if not todo and len(known) == len(cut):
                    await socket.send_bytes(msgpack.packb({"type": "close", "fields": len(cut)}))
        raise AssertionError("the line broke")

    url = first.ask("POST", "/ingest", cut.opening("scan", gridded=True))["url"]
    asyncio.run(asyncio.wait_for(send(first, url, 9), 60))
    first.kill()
    with ServiceProcess(tmp_path / "data", tmp_path, first.token) as second:
        for _ in range(100):
            try:
                end = asyncio.run(asyncio.wait_for(send(second, url, len(cut) + 1), 180))
                break
            except aiohttp.WSServerHandshakeError as error:
                if error.status != 503:  # what it has is being gone through again
                    raise
                time.sleep(0.2)
        report = second.ask("GET", end["url"].removeprefix("/api/v1"))
    picture.close()
    assert (end["began"], end["status"]) == (9, "done")
    assert found(report) == found(expected)
    assert report["acquisition"] == expected["acquisition"]


def test_a_scanner_that_is_interrupted_gives_its_scan_up(service: ServiceProcess, fields: Path) -> None:
    command = [sys.executable, "-m", "hema_stream.cli", "scan-sim", fields / "chula-106.png", "--url", service.base]
    options = ["--token", service.token, "--rate", "2", *SIDE]
    scanner = subprocess.Popen([*map(str, command), *options], stderr=subprocess.PIPE, text=True)
    try:
        service.wait(lambda held: held and held[0]["status"] == "running" and held[0]["counts"].get("cells", 0) > 0)
        scanner.send_signal(signal.SIGINT)
        assert scanner.wait(60) == 130
    finally:
        scanner.kill()
    service.wait(lambda slides: slides[0]["status"] == "cancelled", 60)
    assert service.ask("GET", "/slides?limit=1")["slides"][0]["report"]
