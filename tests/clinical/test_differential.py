"""Denominators of the differential."""

from __future__ import annotations

import pytest

from hema_stream.clinical.differential import corrected_wbc, differential
from hema_stream.clinical.panel import load_panel

PANEL = load_panel()
COUNTS = {"neutrophil_segmented": 60, "neutrophil_band": 5, "lymphocyte": 35, "erythroblast": 8, "smudge": 4}


def test_nrbc_and_smudge_stay_out_of_the_denominator() -> None:
    out = differential(COUNTS, 115, 3, PANEL)
    assert out.classified == 100
    assert out.beside == 12
    assert out.total == out.classified + out.beside + out.unknown
    assert out.per_100_wbc == {"erythroblast": 8.0, "smudge": 4.0}
    assert not {"erythroblast", "smudge"} & set(out.percentages)
    assert {entry.of for entry in out.percentages.values()} == {100}
    assert sum(entry.percent or 0 for entry in out.percentages.values()) == pytest.approx(100)
    assert out.percentages["lymphocyte"].ci95 == pytest.approx((25.73, 45.18), abs=0.006)


def test_neutrophils_are_segmented_and_bands() -> None:
    assert differential(COUNTS, 112, 0, PANEL).neutrophils_total.count == 65


def test_immature_granulocytes_hold_neither_bands_nor_blasts() -> None:
    counts = {"promyelocyte": 1, "myelocyte": 2, "metamyelocyte": 3, "neutrophil_band": 10, "blast": 4, "monocyte": 80}
    assert differential(counts, 100, 0, PANEL).immature_granulocytes.count == 6


def test_bands_apart_is_a_switch() -> None:
    rule = PANEL.differential.model_copy(update={"separate_bands": False})
    merged = differential(COUNTS, 112, 0, PANEL.model_copy(update={"differential": rule}))
    assert list(merged.percentages) == ["neutrophil", "lymphocyte"]
    assert merged.percentages["neutrophil"].count == 65
    assert merged.distribution["neutrophil_band"] == 5
    assert "neutrophil_band" in differential(COUNTS, 112, 0, PANEL).percentages


def test_me_ratio_is_never_computed_and_says_why() -> None:
    out = differential(COUNTS, 112, 0, PANEL)
    assert out.me_ratio is None
    assert "erythroid" in out.me_ratio_reason


def test_without_white_cells_nothing_is_divided() -> None:
    out = differential({}, 0, 0, PANEL)
    assert out.neutrophils_total.percent is None
    assert out.per_100_wbc == {"erythroblast": None, "smudge": None}


def test_corrected_wbc() -> None:
    assert corrected_wbc(17_400, 8) == pytest.approx(16_111, abs=1)
