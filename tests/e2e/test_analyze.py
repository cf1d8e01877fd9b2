"""The way from images to reports, on real fields, through the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from hema_stream.core.report import SCHEMA, Report


def analyze(*args: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hema_stream.cli", "analyze", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, **options)


@pytest.fixture(scope="module")
def results(fields: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All example fields analysed once, with deltas."""
    out = tmp_path_factory.mktemp("results")
    done = analyze(fields, "-o", out, "--deltas", out / "deltas.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    (out / "stdout.jsonl").write_text(done.stdout)
    return out


def reports(out: Path) -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text()) for path in out.glob("*/report.json")}


def test_every_field_has_a_whole_report(results: Path, fields: Path) -> None:
    found = reports(results)
    assert set(found) == {path.stem for path in fields.glob("*.png")}
    schema = json.loads(SCHEMA.read_text())
    for report in found.values():
        jsonschema.validate(report, schema)
        Report.model_validate(report)


def test_the_shipped_schema_is_the_models_own() -> None:
    assert json.loads(SCHEMA.read_text()) == json.loads(json.dumps(Report.model_json_schema()))


def test_counts_agree_within_a_report(results: Path) -> None:
    for report in reports(results).values():
        cells, summary = report["cell_detections"], report["summary"]
        assert summary["total_cells"] == len(cells)
        for kind in ("rbc", "wbc", "platelet"):
            assert summary[f"{kind}_count"] == sum(c["type"] == kind for c in cells)
        assert report["wbc_differential"]["classified"] == sum(
            share["count"] for share in report["wbc_differential"]["percentages"].values()
        )
        tiles = report["quality_metrics"]["tiles"]
        assert tiles["analysed"] == sum(tiles.values())
        assert all(c["classification"] or c["type"] == "platelet" or c["clump"] for c in cells)
        assert [c["cell_id"] for c in cells] == [f"c{n:06d}" for n in range(1, len(cells) + 1)]
        assert [tuple(c["key"]) for c in cells] == sorted(tuple(c["key"]) for c in cells)


def test_real_fields_give_plausible_counts(results: Path) -> None:
    found = reports(results)
    for name in ("pbc-monocyte", "pbc-eosinophil", "pbc-basophil"):
        assert found[name]["summary"]["wbc_count"] == 1
    assert 90 <= found["chula-106"]["summary"]["rbc_count"] <= 150
    assert found["chula-106"]["quality_metrics"]["scale"]["scale_source"] == "metadata"


def test_deltas_replay_to_the_report(results: Path) -> None:
    replayed: dict[str, set[tuple[int, int]]] = {}
    best: dict[str, dict[tuple[int, int], int]] = {}
    counts: dict[str, dict[str, int]] = {}
    last: dict[str, int] = {}
    for line in (results / "deltas.jsonl").read_text().splitlines():
        delta = json.loads(line)
        assert delta["seq"] == last.get(delta["slide"], 0) + 1
        last[delta["slide"]] = delta["seq"]
        keys = replayed.setdefault(delta["slide"], set())
        keys |= set(map(tuple, delta["added"]["keys"]))
        keys -= set(map(tuple, delta["retracted"]))
        for part in delta["labelled"]:
            best.setdefault(delta["slide"], {}).update(zip(map(tuple, part["keys"]), part["best"], strict=True))
        counts[delta["slide"]] = delta["counts"]
    for name, report in reports(results).items():
        cells = report["cell_detections"]
        assert replayed[name] == {tuple(c["key"]) for c in cells}
        assert set(best[name]) == {tuple(c["key"]) for c in cells if c["classification"]}
        assert counts[name]["cells"] == report["summary"]["total_cells"]


def test_the_overlay_and_the_geojson_show_every_cell(results: Path) -> None:
    for name, report in reports(results).items():
        with Image.open(results / name / "overlay.png") as overlay:
            assert max(overlay.size) <= 4096
            assert min(overlay.size) > 500
        features = json.loads((results / name / "cells.geojson").read_text())["features"]
        assert [f["id"] for f in features] == [c["cell_id"] for c in report["cell_detections"]]
        for feature in features:
            ring = feature["geometry"]["coordinates"][0]
            assert ring[0] == ring[-1]
            assert feature["properties"]["objectType"] == "detection"
            assert len(feature["properties"]["classification"]["color"]) == 3


def test_json_prints_a_line_an_input(results: Path) -> None:
    lines = [json.loads(line) for line in (results / "stdout.jsonl").read_text().splitlines()]
    assert {line["id"] for line in lines} == set(reports(results))
    assert all(line["status"] == "done" for line in lines)


def bad_inputs(folder: Path, field: Path) -> dict[str, str]:
    """Make hostile inputs; file name to the code it must be refused with."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (200, 200, 3), np.uint8)
    (folder / "text.png").write_text("hello")
    Image.open(field).convert("RGB").save(folder / "whole.jpg")
    (folder / "cut.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:4000])
    Image.fromarray(noise[:10, :10]).save(folder / "tiny.png")
    Image.fromarray(noise[..., 0]).save(folder / "grey.png")
    Image.fromarray(noise).quantize(16).save(folder / "palette.png")
    Image.fromarray(rng.integers(0, 65_535, (200, 200)).astype(np.uint16)).save(folder / "deep.png")
    Image.fromarray(np.full((200, 200, 3), 210, np.uint8)).save(folder / "blank.png")
    return {
        "text.png": "unreadable",
        "cut.jpg": "truncated",
        "tiny.png": "too_small",
        "grey.png": "wrong_color",
        "palette.png": "wrong_color",
        "deep.png": "wrong_color",
        "blank.png": "blank",
    }


def test_bad_inputs_are_refused_and_the_good_beside_them_finished(fields: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    for name in ("in", "in/sub", "empty"):
        (tmp_path / name).mkdir()
    expected = bad_inputs(folder, fields / "pbc-monocyte.png")
    shutil.copy(fields / "pbc-monocyte.png", folder / "naïve name ü.png")
    shutil.copy(fields / "pbc-monocyte.png", folder / "same.png")
    shutil.copy(fields / "pbc-basophil.png", folder / "sub" / "same.png")
    Image.open(fields / "pbc-basophil.png").convert("RGBA").save(folder / "alpha.png")
    done = analyze(folder, folder / "sub", tmp_path / "empty", tmp_path / "missing.png", "-o", out)
    assert done.returncode == 3
    lines = [line for line in done.stderr.splitlines() if line.startswith("rejected: ")]
    assert len(lines) == len(expected) + 2, done.stderr
    for name, code in {**expected, "empty": "empty_folder", "missing.png": "not_found"}.items():
        assert sum(f"/{name}:" in line and f"[{code}]" in line for line in lines) == 1, (name, lines)
    finished = set(reports(out))
    assert {"naïve name ü", "whole", "alpha"} <= finished
    assert len([name for name in finished if name.startswith("same-")]) == 2
    assert len(finished) == 5
    assert "alpha_dropped" in reports(out)["alpha"]["quality_metrics"]["warnings"]


def test_results_are_not_written_over_without_force(fields: Path, tmp_path: Path) -> None:
    field = fields / "pbc-basophil.png"
    (tmp_path / "pbc-basophil").mkdir()
    (tmp_path / "pbc-basophil" / "report.json").write_text("mine")
    done = analyze(field, "-o", tmp_path)
    assert done.returncode == 3
    assert "has results already" in done.stderr
    assert (tmp_path / "pbc-basophil" / "report.json").read_text() == "mine"
    assert analyze(field, "-o", tmp_path, "--force").returncode == 0
    assert (tmp_path / "pbc-basophil" / "report.json").read_text() != "mine"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("--set", "clean.score=2"), "allowed 0.0..1.0"),
        (("--set", "clean.colour=2"), "no property 'colour'"),
        (("--set", "nosuch.score=2"), "properties are set for nosuch"),
        (("--set", "score"), "not of the form stage.property=value"),
        (("--profile", "nosuch"), "no such configuration"),
    ],
)
def test_wrong_settings_are_usage_errors(fields: Path, tmp_path: Path, settings: tuple[str, ...], said: str) -> None:
    done = analyze(fields / "pbc-basophil.png", "-o", tmp_path, *settings)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_within_two_seconds_and_keeps_what_is_finished(fields: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for number in range(60):
        os.link(fields / "chula-106.png", folder / f"field{number:02d}.png")
    process = subprocess.Popen(
        [sys.executable, "-m", "hema_stream.cli", "analyze", str(folder), "-o", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while len(list(out.glob("*/report.json"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.communicate(timeout=30)
    assert time.monotonic() - began < 2.0
    assert process.returncode == 130
    found = reports(out)
    assert 2 <= len(found) < 60
    for report in found.values():
        jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    assert not list(out.rglob("*.partial"))
