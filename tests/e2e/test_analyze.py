"""The way from images to reports, on real fields, through the command line."""

from __future__ import annotations

import ctypes
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import jsonschema
import numpy as np
import psutil
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
    (folder / "bomb.png").write_bytes(declared_png(100_000, 100_000))
    shutil.copy(field, folder / "shut.png")
    (folder / "shut.png").chmod(0)
    return {
        "text.png": "unreadable",
        "cut.jpg": "truncated",
        "tiny.png": "too_small",
        "grey.png": "wrong_color",
        "palette.png": "wrong_color",
        "deep.png": "wrong_color",
        "blank.png": "blank",
        "bomb.png": "bomb",
        "shut.png": "no_permission",
    }


def declared_png(width: int, height: int) -> bytes:
    """A PNG of RGB pixels by its header, with nothing behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def bound_by_permissions() -> None:
    """Give up root's right to read every file, for the program that is started next."""
    prctl, drop, read_any, search_any = ctypes.CDLL(None).prctl, 24, 1, 2
    for capability in (read_any, search_any):
        prctl(drop, capability, 0, 0, 0)


def test_bad_inputs_are_refused_and_the_good_beside_them_finished(fields: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    for name in ("in", "in/sub", "empty"):
        (tmp_path / name).mkdir()
    expected = bad_inputs(folder, fields / "pbc-monocyte.png")
    shutil.copy(fields / "pbc-monocyte.png", folder / "naïve name ü.png")
    shutil.copy(fields / "pbc-monocyte.png", folder / "same.png")
    shutil.copy(fields / "pbc-basophil.png", folder / "sub" / "same.png")
    Image.open(fields / "pbc-basophil.png").convert("RGBA").save(folder / "alpha.png")
    inputs = (folder, folder / "sub", tmp_path / "empty", tmp_path / "missing.png")
    done = analyze(*inputs, "-o", out, preexec_fn=bound_by_permissions)
    assert done.returncode == 3
    lines = [line for line in done.stderr.splitlines() if line.startswith("rejected: ")]
    assert lines == done.stderr.splitlines()
    assert len(lines) == len(expected) + 2, done.stderr
    assert all(re.fullmatch(r"rejected: .+: .+ \[\w+\] \(.+\)", line) for line in lines)
    assert done.stdout.splitlines()[-1].startswith("5 done, 11 rejected")
    for name, code in {**expected, "empty": "empty_folder", "missing.png": "not_found"}.items():
        assert sum(f"/{name}:" in line and f"[{code}]" in line for line in lines) == 1, (name, lines)
    finished = set(reports(out))
    assert {"naïve name ü", "whole", "alpha"} <= finished
    assert len([name for name in finished if name.startswith("same-")]) == 2
    assert len(finished) == 5
    assert "alpha_dropped" in reports(out)["alpha"]["quality_metrics"]["warnings"]


def test_json_tells_every_input_on_a_line_of_its_own(fields: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "pbc-basophil").mkdir(parents=True)
    (tmp_path / "text.png").write_text("hello")
    inputs = (fields / "pbc-monocyte.png", fields / "pbc-basophil.png", tmp_path / "gone.png", tmp_path / "text.png")
    done = analyze(*inputs, "-o", tmp_path / "out", "--json")
    assert (done.returncode, done.stderr) == (3, "")
    lines = {Path(line["path"]).name: line for line in map(json.loads, done.stdout.splitlines())}
    told = {name: (line["id"], line["status"], line.get("code")) for name, line in lines.items()}
    assert told == {
        "pbc-monocyte.png": ("pbc-monocyte", "done", None),
        "pbc-basophil.png": ("pbc-basophil", "rejected", "exists"),
        "gone.png": (None, "rejected", "not_found"),
        "text.png": ("text", "rejected", "unreadable"),
    }
    assert lines["pbc-monocyte.png"]["summary"]["wbc_count"] == 1


def test_results_are_not_written_over_without_force(fields: Path, tmp_path: Path) -> None:
    field = fields / "pbc-basophil.png"
    (tmp_path / "pbc-basophil").mkdir()
    (tmp_path / "pbc-basophil" / "report.json").write_text("mine")
    done = analyze(field, "-o", tmp_path)
    assert done.returncode == 3
    assert f"rejected: {field}: has results already in {tmp_path / 'pbc-basophil'} [exists]" in done.stderr
    assert "--force" in done.stderr
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


def test_ctrl_c_within_a_slide_keeps_a_partial_report(slide: Path, tmp_path: Path) -> None:
    deltas = tmp_path / "deltas.jsonl"
    command = [sys.executable, "-m", "hema_stream.cli", "analyze", str(slide), "-o", str(tmp_path), "--mpp", "0.191"]
    process = subprocess.Popen([*command, "--deltas", str(deltas)], stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (deltas.exists() and deltas.stat().st_size) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    said, _ = process.communicate(timeout=30)
    assert time.monotonic() - began < 2.0
    assert process.returncode == 130
    report = reports(tmp_path)["slide"]
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    tiles = report["quality_metrics"]["tiles"]
    assert (report["status"], sum(tiles.values())) == ("partial", 6)
    assert 0 < tiles["analysed"] < 6
    assert {"tiles_cancelled", "classification_pending"} & {lack["code"] for lack in report["missing"]}
    assert "PARTIAL: the analysis was interrupted" in said
    assert said.splitlines()[-1].startswith("interrupted: 1 partial")


def test_ctrl_c_while_models_load_leaves_nothing(fields: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "hema_stream.cli", "analyze", str(fields), "-o", str(tmp_path / "out"), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 30
    while not psutil.Process(process.pid).children() and time.monotonic() < until:
        time.sleep(0.01)  # workers are the first thing that is started
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    said, complaints = process.communicate(timeout=30)
    assert time.monotonic() - began < 2.0
    assert (process.returncode, complaints) == (130, "")
    assert {json.loads(line)["status"] for line in said.splitlines()} == {"cancelled"}
    assert len(said.splitlines()) == len(list(fields.glob("*.png")))
    assert not (tmp_path / "out").exists()


def test_a_second_ctrl_c_does_not_wait() -> None:
    program = (
        "import asyncio, os, signal\n"
        "from hema_stream.cli.analyze import _run\n"
        "from hema_stream.service import analysis\n"
        "async def hang(images, options, observer, cancel):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    await cancel.wait()\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    await asyncio.sleep(60)\n"
        "analysis.analyze = hang\n"
        "_run([], None, None)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=30).returncode == 130


def test_a_terminal_shows_a_bar_with_tiles_cells_and_time_left(slide: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "150", "LINES": "40"}
    command = [sys.executable, "-m", "hema_stream.cli", "analyze", str(slide), "-o", str(tmp_path), "--mpp", "0.191"]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    screen = re.sub(r"\x1b\[[\d;?]*\w", "", b"".join(iter(lambda: read_terminal(ours), b"")).decode())
    os.close(ours)
    assert process.wait(60) == 0
    assert "loading the models" in screen
    assert re.search(r"slide .* [1-6]/6 tiles  [\d,]+ cells .*left", screen)
    assert re.search(r"slide: [\d,]+ cells, [\d,]+ red", screen)
    assert "1 done; results in" in screen


def read_terminal(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux says so when the other end is closed
        return b""
