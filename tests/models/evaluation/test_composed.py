from __future__ import annotations

import numpy as np
from hema_models.evaluation.composed import Pool, pool, weights_by_label, with_cells
from hypothesis import given
from hypothesis import strategies as st


def of(said: list[int], fields: list[str] | None = None) -> Pool:
    return pool(np.array(said), np.zeros(len(said), bool), 3, fields or [])


def test_fields_come_whole() -> None:
    cells = of([0, 0, 1, 1, 1, 2], ["a", "a", "b", "b", "b", "c"])
    for seed in range(20):
        counts = cells.fields_drawn(600, np.random.default_rng(seed))
        assert counts.sum() == 600
        assert counts[0] % 2 == 0 or counts[1] % 3 == 0  # only the last field may be cut


def test_unknown_and_silent_cells_are_counted_last() -> None:
    cells = pool(np.array([0, 1, -1]), np.array([False, True, False]), 3)
    assert cells.counted(np.array([0, 1, 2, 2])).tolist() == [1, 0, 0, 3]


def test_labels_come_in_their_shares() -> None:
    labels = np.array(["a"] * 10 + ["b"] * 90 + ["odd"])
    weights = weights_by_label(labels, {"a": 0.75, "b": 0.25, "absent": 0.5})
    assert weights[labels == "a"].sum() == 0.75 or abs(weights[labels == "a"].sum() - 0.75) < 1e-9
    assert abs(weights[labels == "b"].sum() - 0.25) < 1e-9
    assert weights[-1] == 0


@given(st.integers(1, 3000), st.floats(0, 1), st.integers(0, 99))
def test_composing_in_keeps_the_number_of_cells(cells: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    slide = of([0, 0, 1]).fields_drawn(cells, rng)
    mixed = with_cells(slide, of([2]), share, rng)
    assert mixed.sum() == cells
    assert (mixed >= 0).all()
    assert abs(mixed[2] - share * cells) < 1


def test_a_share_of_less_than_a_cell_is_put_in_that_often() -> None:
    rng = np.random.default_rng(1)
    slide = of([0]).cells_drawn(100, rng)
    assert abs(np.mean([with_cells(slide, of([2]), 0.0025, rng)[2] for _ in range(4000)]) - 0.25) < 0.03
