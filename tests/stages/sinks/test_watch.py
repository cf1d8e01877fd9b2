"""The report sink watches a site."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hema_models.site.readings import FILE, Readings
from hema_models.site.store import SiteStore
from hema_stages.sinks.report import Report
from smear import mixed

from hema_stream.core.messages import ReportWritten
from hema_stream.core.naming import Naming
from hema_stream.core.result import TallyResult
from hema_stream.core.site_use import SiteUse, StreamUse
from hema_stream.flow.bus import WarningMessage


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SiteUse:
    monkeypatch.setenv("HEMA_STREAM_SITES", str(tmp_path / "sites"))
    made = SiteStore().create("tehran")
    return SiteUse(made.name, made.version, made.identity, {"wbc": StreamUse(False, 0, None)})


def slide(site: SiteUse | None, n: int, **calibration: Any) -> TallyResult:
    made = mixed(80)
    about = replace(made.calibration, **calibration)
    return replace(made, slide=replace(made.slide, id=f"slide-{n:02d}"), calibration=about, naming=Naming(site=site))


def write(out: Path, *results: TallyResult, deterministic: bool = False) -> list[Any]:
    stage, posted = Report("report", out=out, overlay=False, geojson=False), []
    stage._post = posted.append
    stage.deterministic = deterministic
    stage.start()
    for result in results:
        stage.process(result, None)
    return posted


def told(out: Path, result: TallyResult) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / result.slide.id / "report.json").read_text(encoding="utf-8"))
    return document


def test_slides_are_counted_and_a_change_is_told(tmp_path: Path, site: SiteUse) -> None:
    usual = [slide(site, n) for n in range(14)]
    dark = slide(site, 20, background=usual[0].calibration.background - 90)
    write(tmp_path, *usual, dark)
    assert told(tmp_path, usual[-1])["site"]["alarms"] == []
    document = told(tmp_path, dark)
    assert [alarm["code"] for alarm in document["site"]["alarms"]] == ["light"]
    assert document["site"]["alarms"][0]["text"] in document["calibration_note"]
    assert len(Readings(SiteStore().folder("tehran")).read().latest) == 15


def test_nothing_is_remembered_without_a_site_of_a_partial_slide_or_where_answers_must_repeat(
    tmp_path: Path, site: SiteUse
) -> None:
    write(tmp_path, slide(None, 1), replace(slide(site, 2), status="partial"))
    write(tmp_path, slide(site, 3), deterministic=True)
    assert not (SiteStore().folder("tehran") / FILE).exists()


def test_another_laboratory_is_told_whatever_is_remembered(tmp_path: Path, site: SiteUse) -> None:
    far = replace(site, streams={"wbc": StreamUse(False, 0, None, distance=2.0, limit=0.5)})
    result = slide(far, 1)
    write(tmp_path, result, deterministic=True)
    assert [alarm["code"] for alarm in told(tmp_path, result)["site"]["alarms"]] == ["elsewhere"]


def test_a_history_that_cannot_be_written_costs_no_report(tmp_path: Path, site: SiteUse) -> None:
    (SiteStore().folder("tehran") / FILE).mkdir()
    result = slide(site, 1)
    posted = write(tmp_path, result)
    assert [type(message) for message in posted] == [WarningMessage, ReportWritten]
    assert told(tmp_path, result)["status"] == "complete"
