"""report.json as written: valid by its schema, by its model, and the same each time."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from hema_stages.sinks import report_json
from hema_stages.sinks.report_json import write_report
from jsonschema import Draft202012Validator
from smear import calibration, mixed, result_of

from hema_stream.clinical.compose import Composer
from hema_stream.clinical.panel import load_panel
from hema_stream.core.cells import Kind
from hema_stream.core.report import SCHEMA, Identity, Report, ReportHead
from hema_stream.core.result import TallyResult
from hema_stream.core.slide import ScaleSource

IDENTITY = Identity(software="hema-stream", models={}, configuration="0" * 64, panel="default", profile="cpu")
COMPOSER = Composer(load_panel(), IDENTITY, True)
VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def written(result: TallyResult) -> tuple[bytes, ReportHead]:
    handle = BytesIO()
    head = write_report(handle, COMPOSER, result)
    return handle.getvalue(), head


@pytest.mark.parametrize(
    "result",
    [
        mixed(300),
        mixed(20, measured=calibration(0.3, ScaleSource.ASSUMED)),
        result_of([]),
        result_of([(Kind.RBC, None)], status="partial"),
    ],
    ids=["many", "assumed scale", "empty", "partial"],
)
def test_a_report_is_valid_by_schema_and_model(result: TallyResult) -> None:
    text, head = written(result)
    document: Any = json.loads(text)
    VALIDATOR.validate(document)
    report = Report.model_validate_json(text)
    assert report.model_dump(include=set(ReportHead.model_fields)) == head.model_dump()
    assert len(report.cell_detections) == head.summary.total_cells
    assert json.loads(report.model_dump_json()) == document


def test_the_schema_refuses_a_report_that_lacks_something() -> None:
    document: Any = json.loads(written(mixed(5))[0])
    del document["cell_detections"][2]["confidence"]
    assert not VALIDATOR.is_valid(document)


def test_rows_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = written(mixed(40))[0]
    monkeypatch.setattr(report_json, "ROWS", 3)
    assert written(mixed(40))[0] == whole


def test_a_line_a_cell() -> None:
    lines = written(mixed(40))[0].decode().splitlines()
    assert sum('"cell_id"' in line and '"bbox"' in line for line in lines) == 40


def test_no_code_that_is_not_to_be_shown_stands_in_a_wording() -> None:
    result = result_of([(Kind.WBC, "blast")] * 20)
    document: Any = json.loads(written(result)[0])
    flags = {flag["code"]: flag for flag in document["wbc_differential"]["candidates"]}
    assert flags["possible_leukemia"]["of"] == 20
    assert "leuk" not in flags["possible_leukemia"]["wording"].lower()
