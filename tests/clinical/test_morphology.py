"""Shapes and sizes of red cells."""

from __future__ import annotations

import numpy as np
import pytest

from hema_stream.clinical.morphology import morphology, size_classes
from hema_stream.clinical.panel import load_panel

PANEL = load_panel()


def test_rate_is_percent_of_the_classified() -> None:
    counts = {"normal": 1000, "schistocyte": 15, "target": 5}
    out = morphology(counts, 1100, 60, 21, None, PANEL, unclassified=10, clumps=10)
    assert out.classified == 1020
    assert out.total == out.classified + out.unknown + out.unclassified + out.clumps
    assert out.abnormality_rate == pytest.approx(100 * 20 / 1020, abs=0.005)
    assert (out.abnormal.count, out.abnormal.of) == (20, 1020)
    assert out.distribution["target"].of == 1020
    assert not out.flags
    assert {flag.code for flag in out.candidates} == {"schistocytes_present"}


def test_nothing_classified_has_no_rate() -> None:
    out = morphology({}, 4, 4, 0, None, PANEL)
    assert out.abnormality_rate is None


def test_size_classes_at_their_limits() -> None:
    assert size_classes(np.array([5.99, 6.0, 8.49, 8.5, 8.51]), PANEL).tolist() == [0, 1, 1, 1, 2]


def test_sizes_need_a_measured_scale() -> None:
    small = np.full(1200, 5.0)
    measured = morphology({"normal": 1300}, 1300, 0, 0, small, PANEL)
    assert measured.size_classes == {"microcytic": 1200, "normocytic": 0, "macrocytic": 0}
    assert (measured.sized, measured.median_diameter_um) == (1200, 5.0)
    [flag] = measured.flags
    assert (flag.code, flag.n, flag.of) == ("microcytosis_detected", 5.0, 1200)
    estimated = morphology({"normal": 1300}, 1300, 0, 0, None, PANEL)
    assert (estimated.sized, estimated.size_classes, estimated.median_diameter_um) == (None, None, None)
    assert not estimated.flags


def test_no_cell_seen_whole_has_no_median() -> None:
    out = morphology({"normal": 1000}, 1000, 0, 0, np.zeros(0), PANEL)
    assert (out.sized, out.median_diameter_um) == (0, None)
