"""What a report says of a scan, and what its figures lack."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from smear import mixed

from hema_stream.clinical.acquisition import acquisition
from hema_stream.clinical.compose import Composer
from hema_stream.clinical.panel import load_panel
from hema_stream.core.field import Acquisition, Grid
from hema_stream.core.field_plan import FieldPlan
from hema_stream.core.report import Identity, ReportHead
from hema_stream.core.result import TallyResult

WHOLE = Acquisition(10, 10, (), (), (), (0, 1, 2, 3), True, 12, 0, 1, 1.25)


def scanned(made: Acquisition, **tiles: int) -> TallyResult:
    result = mixed(60)
    scale = result.calibration.scale
    plan = FieldPlan(2000, 800, scale, (400, 400), Grid(5, 2, 400.0, 400.0))
    ended = {**dict.fromkeys(result.tiles, 0), "analysed": 10, **tiles}
    return replace(result, plan=plan, tiles=ended, acquisition=made)


def head(result: TallyResult) -> ReportHead:
    identity = Identity(software="", models={}, configuration="", panel="default", profile="")
    return Composer(load_panel(), identity, True).head(result)


def lacks(report: ReportHead) -> dict[str, tuple[int, int]]:
    return {lack.code: (lack.n, lack.of) for lack in report.missing if lack.code != "size_classes"}


def test_a_file_has_no_acquisition() -> None:
    assert acquisition(None) is None
    assert head(mixed(60)).acquisition is None


def test_a_whole_scan_is_complete() -> None:
    report = head(scanned(WHOLE))
    assert (report.status, lacks(report)) == ("complete", {})
    assert report.acquisition is not None
    assert (report.acquisition.calibrated_on, report.acquisition.widest_offset_um) == ([0, 1, 2, 3], 1.25)


@pytest.mark.parametrize(
    ("changes", "tiles", "status", "lacking"),
    [
        ({"missing": (3, 7), "received": 8}, {"analysed": 8, "gap": 2}, "partial", {"fields_missing": (2, 10)}),
        ({"unreadable": (3,), "received": 9}, {"analysed": 9, "gap": 1}, "partial", {"fields_unreadable": (1, 10)}),
        (
            {"untaken": (6, 7, 8, 9), "received": 6},
            {"analysed": 6, "cancelled": 4},
            "complete",
            {"fields_not_taken": (4, 10)},
        ),
        ({"refused": 2}, {}, "complete", {"offsets_refused": (2, 15)}),
        (
            {"missing": (3,), "received": 9},
            {"analysed": 8, "gap": 2},
            "partial",
            {"tiles_lost": (1, 10), "fields_missing": (1, 10)},
        ),
    ],
)
def test_what_did_not_come_is_told_once_and_by_its_reason(
    changes: dict[str, Any], tiles: dict[str, int], status: str, lacking: dict[str, tuple[int, int]]
) -> None:
    report = head(scanned(replace(WHOLE, **changes), **tiles))
    assert (report.status, lacks(report)) == (status, lacking)


def test_fields_that_were_left_out_on_purpose_do_not_make_a_picture_poor() -> None:
    report = head(scanned(replace(WHOLE, untaken=(5, 6, 7, 8, 9), received=5), analysed=5, cancelled=5))
    assert report.quality_metrics.coverage == 1.0
    assert report.summary.image_quality == "good"
