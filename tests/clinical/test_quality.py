"""What the figures are worth and what they lack."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from smear import calibration, result_of

from hema_stream.clinical.panel import load_panel
from hema_stream.clinical.quality import coverage, image_quality, missing, quality_metrics, status
from hema_stream.core.calibration import StainFit
from hema_stream.core.cells import Kind, Priority
from hema_stream.core.result import TallyResult
from hema_stream.core.slide import ScaleSource

PANEL = load_panel()
TWO = [(Kind.RBC, "normal"), (Kind.WBC, "monocyte"), (Kind.PLATELET, None)]


def tiles(**ended: int) -> dict[str, int]:
    return {"analysed": 0, "background": 0, "rejected": 0, "gap": 0, "cancelled": 0} | ended


def flags(result: TallyResult) -> set[str]:
    return {flag.code for flag in quality_metrics(result, PANEL).flags}


def test_coverage_leaves_background_out() -> None:
    assert coverage(result_of(TWO, tiles=tiles(analysed=6, background=90, rejected=2))) == 0.75
    assert coverage(result_of(TWO, tiles=tiles(background=9))) is None


def test_nothing_is_missing_from_a_whole_slide() -> None:
    result = result_of(TWO)
    assert missing(result) == []
    assert status(result, []) == "complete"


@pytest.mark.parametrize(
    ("ended", "code", "said"),
    [
        ({"gap": 1}, "tiles_lost", "partial"),
        ({"cancelled": 1}, "tiles_cancelled", "partial"),
        ({"rejected": 1}, "tiles_rejected", "complete"),
    ],
)
def test_tiles_that_were_not_analysed(ended: dict[str, int], code: str, said: str) -> None:
    result = result_of(TWO, tiles=tiles(analysed=3, **ended))
    [lack] = missing(result)
    assert (lack.code, lack.n, lack.of) == (code, 1, 4)
    assert status(result, [lack]) == said


@pytest.mark.parametrize(("lost", "code"), [(True, "classification_lost"), (False, "classification_pending")])
def test_cells_without_a_class(lost: bool, code: str) -> None:
    result = result_of([(Kind.RBC, None), (Kind.RBC, "normal"), (Kind.PLATELET, None)])
    result = replace(result, lost=np.array([lost, False, False]))
    [lack] = missing(result)
    assert (lack.code, lack.n, lack.of) == (code, 1, 2)
    assert status(result, [lack]) == "partial"


def test_an_interrupted_run_is_partial() -> None:
    assert status(result_of(TWO, status="partial"), []) == "partial"


@pytest.mark.parametrize("source", [ScaleSource.ESTIMATED, ScaleSource.ASSUMED])
def test_an_unmeasured_scale_says_what_it_costs(source: ScaleSource) -> None:
    result = result_of(TWO, measured=calibration(0.25, source))
    scale = quality_metrics(result, PANEL).scale
    assert scale.scale_source == source.value
    assert "sizes are not reported" in (scale.note or "")
    assert [lack.code for lack in missing(result)] == ["size_classes"]
    assert status(result, missing(result)) == "complete"


def test_clumps_raise_overlap_and_platelet_flags() -> None:
    entries = [(Kind.RBC, "normal")] * 150 + [(Kind.RBC, None)] * 6 + [(Kind.PLATELET, None)] * 2
    clump = np.zeros(158, np.int16)
    clump[150:157] = 3
    result = result_of(entries)
    result = replace(result, cells=replace(result.cells, clump=clump))
    found = {flag.code: flag for flag in quality_metrics(result, PANEL).flags}
    assert (found["out_of_monolayer"].n, found["out_of_monolayer"].of) == (18, 168)
    assert (found["platelet_clumps"].n, found["platelet_clumps"].of) == (1, 2)
    assert quality_metrics(result, PANEL).clumps == 7


def test_stain_out_of_range() -> None:
    fit = StainFit(in_range=False, reason="stain out of range")
    result = result_of(TWO, measured=calibration(stain=fit))
    quality = quality_metrics(result, PANEL)
    assert quality.stain_quality == "out_of_range"
    assert flags(result) == {"poor_stain"}
    assert image_quality(quality, PANEL) == "acceptable"


def test_no_stain_fitted_is_not_a_poor_stain() -> None:
    fit = StainFit(reason="picture is small")
    result = result_of(TWO, measured=calibration(stain=fit))
    assert quality_metrics(result, PANEL).stain_quality == "not_measured"
    assert flags(result) == set()


@pytest.mark.parametrize(
    ("ended", "word", "raised"),
    [
        (tiles(analysed=20), "good", set()),
        (tiles(analysed=8, rejected=2), "acceptable", set()),
        (tiles(analysed=5, rejected=5), "poor", {"rescan_advised"}),
        (tiles(analysed=5, gap=5), "poor", set()),
        (tiles(background=5), "poor", set()),
    ],
)
def test_quality_in_a_word(ended: dict[str, int], word: str, raised: set[str]) -> None:
    result = result_of(TWO, tiles=ended)
    assert image_quality(quality_metrics(result, PANEL), PANEL) == word
    assert flags(result) == raised


def test_low_focus_is_not_good() -> None:
    result = result_of(TWO, measured=calibration(warnings=("low_focus",)))
    assert image_quality(quality_metrics(result, PANEL), PANEL) == "acceptable"


def test_confidence_names_how_many_it_is_of() -> None:
    quality = quality_metrics(result_of(TWO), PANEL)
    assert (quality.avg_confidence, quality.avg_confidence_of) == (0.95, 2)
    assert quality_metrics(result_of([(Kind.PLATELET, None)]), PANEL).avg_confidence is None


def test_truncated_cells_are_told() -> None:
    result = result_of(TWO)
    cut = replace(result.cells, priority=np.array([Priority.EDGE, Priority.OWNED, Priority.WHOLE], np.int8))
    assert quality_metrics(replace(result, cells=cut), PANEL).truncated == 1
