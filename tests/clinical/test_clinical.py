"""Intervals, denominators and flags of the clinical reference."""

from __future__ import annotations

import numpy as np
import pytest

from hema_stream.clinical.differential import corrected_wbc, differential
from hema_stream.clinical.interval import clopper_pearson
from hema_stream.clinical.morphology import morphology, size_classes
from hema_stream.clinical.panel import load_panel

PANEL = load_panel()


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (0, 100, 0, 3.62),
        (1, 100, 0.03, 5.45),
        (5, 100, 1.64, 11.28),
        (10, 100, 4.90, 17.62),
        (50, 100, 39.83, 60.17),
        (0, 200, 0, 1.83),
        (10, 200, 2.42, 9.00),
        (20, 400, 3.08, 7.62),
        (10, 1000, 0.48, 1.83),
    ],
)
def test_clopper_pearson_vectors(k: int, n: int, low: float, high: float) -> None:
    assert clopper_pearson(k, n) == pytest.approx((low, high), abs=0.006)


def test_no_denominator_no_interval() -> None:
    assert clopper_pearson(0, 0) is None


def test_corrected_wbc() -> None:
    assert corrected_wbc(17_400, 8) == pytest.approx(16_111, abs=1)


def test_nrbc_and_smudge_stay_out_of_the_denominator() -> None:
    out = differential(
        {"neutrophil_segmented": 60, "neutrophil_band": 5, "lymphocyte": 35, "erythroblast": 8, "smudge": 4},
        112,
        0,
        PANEL,
    )
    assert out.classified == 100
    assert out.neutrophils_total.count == 65
    assert out.per_100_wbc == {"erythroblast": 8.0, "smudge": 4.0}
    assert "erythroblast" not in out.percentages
    assert out.me_ratio is None
    assert {f.code for f in out.flags} == {"nrbc_present"}


def test_one_blast_opens_review_and_five_percent_stays_a_code() -> None:
    one = differential({"blast": 1, "lymphocyte": 150}, 151, 0, PANEL)
    assert [f.code for f in one.flags] == ["blast_detected"]
    many = differential({"blast": 10, "lymphocyte": 90}, 100, 0, PANEL)
    flags = {f.code: f for f in many.flags}
    assert flags["possible_leukemia"].wording is None
    assert flags["blast_detected"].n == 10


def test_few_cells_say_so() -> None:
    assert {f.code for f in differential({"lymphocyte": 3}, 3, 0, PANEL).flags} == {"insufficient_cells"}


def test_schistocytes_need_a_thousand() -> None:
    few = morphology({"schistocyte": 20, "normal": 500}, frozenset({"schistocyte"}), 520, 0, 0, None, PANEL)
    assert {f.code for f in few.flags} == {"insufficient_cells"}
    enough = morphology({"schistocyte": 20, "normal": 1000}, frozenset({"schistocyte"}), 1020, 0, 0, None, PANEL)
    assert {f.code for f in enough.flags} == {"schistocytes_present"}
    assert enough.abnormality_rate == pytest.approx(100 * 20 / 1020, abs=0.01)


def test_size_flags_need_a_measured_scale() -> None:
    counts = {"normal": 1200}
    small = np.full(1200, 5.0)
    assert "microcytosis_detected" in {f.code for f in morphology(counts, frozenset(), 1200, 0, 0, small, PANEL).flags}
    unmeasured = morphology(counts, frozenset(), 1200, 0, 0, None, PANEL)
    assert not unmeasured.flags
    assert unmeasured.size_classes is None


def test_size_classes_at_their_limits() -> None:
    assert size_classes(np.array([5.99, 6.0, 8.49, 8.5]), PANEL).tolist() == [0, 1, 1, 2]
