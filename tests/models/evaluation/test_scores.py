from __future__ import annotations

import numpy as np
import pytest
from hema_models.evaluation.answers import Answers
from hema_models.evaluation.naming import found_at, named, wilson
from hema_models.evaluation.scores import by_source, confusion, reliability
from hypothesis import given
from hypothesis import strategies as st

from hema_stream.core.taxonomy import load_taxonomy


def white(labels: list[str], predicted: list[str], unknown: list[bool], confidence: float = 0.75) -> Answers:
    n = len(labels)
    sources = np.array(["here"] * n)
    names = np.array([f"{k}.jpg" for k in range(n)])
    return Answers("wbc", np.array([""] * n), names, sources, np.array(labels), np.array(predicted),
                   np.full(n, confidence), np.array(unknown))  # fmt: skip


def test_figures_of_one_source() -> None:
    answers = white(
        ["neutrophil", "neutrophil", "myelocyte", "blast", "platelet"],
        ["neutrophil_band", "monocyte", "metamyelocyte", "blast", "blast"],
        [False, True, False, False, False],
    )
    figures = by_source(answers, draws=20)["here"]
    assert figures["cells"] == 4  # the platelet's label is none of a white cell
    assert figures["balanced_accuracy"] == 0.5
    assert figures["merged"] == pytest.approx((0.5 + 1 + 1) / 3, abs=1e-4)
    assert figures["unknown"] == 0.25
    assert figures["accuracy_kept"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["calibration_error"] == 0.25
    assert figures["recall"]["neutrophil"] == [0.5, 2]
    assert figures["confusion"]["neutrophil"] == {"neutrophil_band": 1, "unknown": 1}


def test_a_cell_that_was_not_found_is_wrong() -> None:
    answers = white(["blast"], [""], [True])
    assert confusion(answers) == {"blast": {"missed": 1}}
    assert not answers.right.any()


def test_reliability_bins() -> None:
    assert reliability(np.array([0.05, 0.95, 1.0]), np.array([False, True, False])) == [[0.05, 0, 1], [0.975, 0.5, 2]]


def test_wilson_by_the_published_example() -> None:
    low, high = wilson(0, 10)  # Newcombe, Stat Med 17:857, 1998: upper limit z2 / (n + z2)
    assert (low, high) == (0.0, pytest.approx(3.8415 / 13.8415, abs=1e-4))
    assert wilson(81, 263) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    with pytest.raises(ValueError, match="no proportion"):
        wilson(2, 1)


@given(st.integers(0, 500), st.integers(0, 500))
def test_limits_hold_the_share_and_narrow_with_cells(a: int, b: int) -> None:
    k, n = min(a, b), max(a, b)
    low, high = wilson(k, n)
    assert 0 <= low <= (k / n if n else 0.5) <= high <= 1
    closer = wilson(4 * k, 4 * n)
    assert closer[1] - closer[0] <= high - low + 1e-12


def test_named_counts_each_cell_once() -> None:
    taxonomy = load_taxonomy("rbc")
    said = np.array([taxonomy.index("normal"), taxonomy.index("sickle"), taxonomy.index("sickle"), -1])
    shares = named(said, np.array([False, False, True, False]))
    assert [shares[key]["k"] for key in ("normal", "unknown", "abnormal")] == [1, 2, 1]
    assert shares["as"] == {"sickle": 1}


def test_found_boxes_are_matched_by_overlap() -> None:
    labelled = np.array([[0, 0, 10, 10], [50, 50, 10, 10]], float)
    found = np.array([[20, 0, 10, 10], [1, 0, 10, 10], [55, 55, 10, 10]], float)
    assert found_at(labelled, found).tolist() == [1, -1]
    assert found_at(labelled, np.zeros((0, 4))).tolist() == [-1, -1]
