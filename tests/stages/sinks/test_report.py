"""The report sink: three files a slide."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hema_stages.sinks.report import Report
from smear import mixed, slide

from hema_stream.core.errors import ConfigError, OutputError
from hema_stream.core.features import FEATURES, CellFeatures, read_features
from hema_stream.core.messages import ReportWritten
from hema_stream.core.result import TallyResult
from hema_stream.flow.bus import WarningMessage

FIELD = Path(__file__).parents[3] / "examples" / "fields" / "bccd-00000.png"
ALL = {"report.json", "overlay.png", "cells.geojson"}


@pytest.fixture
def result() -> TallyResult:
    return mixed(30, image=slide(384, 288, FIELD, "a field with Ünïcode"))


def sink(out: Path, **properties: Any) -> tuple[Report, list[Any]]:
    stage, posted = Report("report", out=out, longest_side=1700, **properties), []
    stage._post = posted.append
    stage.start()
    return stage, posted


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_three_files_and_the_head_on_the_bus(tmp_path: Path, result: TallyResult) -> None:
    stage, posted = sink(tmp_path / "deep" / "out")
    stage.process(result, None)
    folder = tmp_path / "deep" / "out" / result.slide.id
    assert names(folder) == ALL
    document = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert document["image_id"] == result.slide.id
    assert len(document["cell_detections"]) == 30
    assert len(json.loads((folder / "cells.geojson").read_bytes())["features"]) == 30
    [message] = posted
    assert isinstance(message, ReportWritten)
    assert message.head is not None
    assert message.head.summary.total_cells == 30


def test_the_same_result_gives_the_same_bytes(tmp_path: Path, result: TallyResult) -> None:
    for run in ("one", "two"):
        sink(tmp_path / run)[0].process(result, None)
    for name in ALL:
        one, two = ((tmp_path / run / result.slide.id / name).read_bytes() for run in ("one", "two"))
        assert one == two, name


def test_what_is_switched_off_is_not_written_nor_left_from_before(tmp_path: Path, result: TallyResult) -> None:
    sink(tmp_path)[0].process(result, None)
    sink(tmp_path, overlay=False, geojson=False)[0].process(result, None)
    assert names(tmp_path / result.slide.id) == {"report.json"}


def test_features_are_written_where_they_were_kept_and_not_left_from_before(
    tmp_path: Path, result: TallyResult
) -> None:
    stage, _ = sink(tmp_path)
    rows = np.arange(2, dtype=np.int32)
    kept = CellFeatures(
        "wbc", "net", rows, result.cells.keys[rows], np.ones((2, 4), np.float16), np.zeros((2, 12), np.float32)
    )
    stage.process(replace(result, features=kept), None)
    found = read_features(tmp_path / result.slide.id / FEATURES)
    assert found is not None
    assert (found.network, found.rows.tolist()) == ("net", [0, 1])
    stage.process(result, None)
    assert names(tmp_path / result.slide.id) == ALL


def test_an_interrupted_slide_of_many_tiles_gets_its_report_alone(tmp_path: Path, result: TallyResult) -> None:
    interrupted = replace(result, status="partial")
    stage, _ = sink(tmp_path)
    stage.process(interrupted, None)
    assert names(tmp_path / result.slide.id) == ALL
    stage, _ = sink(tmp_path, interrupted_tiles=0)
    stage.process(interrupted, None)
    assert names(tmp_path / result.slide.id) == {"report.json"}
    stage.process(result, None)
    assert names(tmp_path / result.slide.id) == ALL


def test_a_failure_keeps_the_earlier_results(
    tmp_path: Path, result: TallyResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, _ = sink(tmp_path)
    stage.process(result, None)
    before = {name: (tmp_path / result.slide.id / name).read_bytes() for name in ALL}

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hema_stages.sinks.report.write_report", full)
    with pytest.raises(OutputError):
        stage.process(mixed(5, image=result.slide), None)
    assert {name: (tmp_path / result.slide.id / name).read_bytes() for name in ALL} == before
    assert names(tmp_path / result.slide.id) == ALL


def test_an_image_that_is_gone_costs_the_overlay_alone(tmp_path: Path, result: TallyResult) -> None:
    stage, posted = sink(tmp_path)
    stage.process(result, None)
    posted.clear()
    stage.process(replace(result, slide=replace(result.slide, path=tmp_path / "gone.png")), None)
    assert names(tmp_path / result.slide.id) == ALL - {"overlay.png"}
    assert [type(message) for message in posted] == [WarningMessage, ReportWritten]
    assert "overlay.png is not drawn" in posted[0].text


def test_a_damaged_part_is_told(tmp_path: Path, result: TallyResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hema_stages.sinks.report.draw_overlay", lambda *args: (np.zeros((4, 4, 3), np.uint8), 3))
    stage, posted = sink(tmp_path)
    stage.process(result, None)
    assert names(tmp_path / result.slide.id) == ALL
    assert [type(message) for message in posted] == [WarningMessage, ReportWritten]
    assert "3 blocks of the image cannot be read" in posted[0].text


def test_a_panel_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        sink(tmp_path, panel="nowhere")
