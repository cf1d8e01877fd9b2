"""A scanner's fields through a served pipeline: what went wrong on the way changes nothing but what never came."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from service_process import ServiceProcess

SIDE = ("--field", "170", "150", "--overlap", "0.3")
CUTS = 10


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("root")
    with ServiceProcess(tmp_path_factory.mktemp("service") / "data", root) as running:
        yield running


def play(service: ServiceProcess, image: Path, *options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the scanner was told, and the report."""
    command = [sys.executable, "-m", "hema_stream.cli", "scan-sim", image, "--url", service.base, "--json", *options]
    done = subprocess.run([*map(str, command), "--token", service.token], capture_output=True, text=True, timeout=100)
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
    told, report = play(service, fields / "chula-106.png", "--rate", "0", *SIDE)
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
