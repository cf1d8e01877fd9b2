"""Whether a head is offered is told by cells left out, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hema_models.site.judge import LEFT_OUT_ALONE, Judgement, deal, judge
from hema_models.site.statistics import site_statistics
from hypothesis import given
from hypothesis import strategies as st
from site_world import accuracy, laboratory, table


def judged(shift: float, each: int, seed: int = 1) -> Judgement:
    reviewed = laboratory(shift, seed).reviewed(each, seed)
    allowed = table(reviewed.labels)
    statistics = site_statistics([reviewed.statistics(allowed)])
    return judge(reviewed.answers, statistics.standardise(reviewed.features), allowed, reviewed.labels)[1]


def test_a_head_is_offered_where_the_network_is_off() -> None:
    told = judged(3.0, 15)
    assert told.better
    assert told.after > told.before
    assert told.worse < 0.25
    assert told.calibration_after < told.calibration_before


def test_no_head_is_offered_on_labels_that_mean_nothing() -> None:
    reviewed = laboratory(0.0).reviewed(5, 1)
    labels = np.random.default_rng(0).permutation(reviewed.labels)
    allowed = table(labels)
    statistics = site_statistics([reviewed.statistics(allowed)])
    head, told = judge(reviewed.answers, statistics.standardise(reviewed.features), allowed, labels)
    assert told.after < 0.45
    assert np.isfinite(head.weights).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_head_that_is_offered_is_no_worse_on_cells_that_come_later(seed: int) -> None:
    """Where the network is at home already, so that a head has little to win."""
    place = laboratory(0.0, seed)
    reviewed = place.reviewed(5, seed)
    allowed = table(reviewed.labels)
    statistics = site_statistics([reviewed.statistics(allowed)])
    head, told = judge(reviewed.answers, statistics.standardise(reviewed.features), allowed, reviewed.labels)
    classes = np.arange(6).repeat(80)
    features = place.cells(classes, 99)
    answers = place.answers(features)
    after = accuracy(head.correct(answers, statistics.standardise(features)), classes)
    assert not told.better or after > accuracy(answers, classes) - 0.03


@pytest.mark.parametrize("each", [3, LEFT_OUT_ALONE])
def test_every_label_is_told_with_its_cells(each: int) -> None:
    told = judged(2.0, each)
    assert {count for count, _, _ in told.recalls.values()} == {each}
    assert told.cells == 6 * each
    np.testing.assert_allclose(told.before, np.mean([before for _, before, _ in told.recalls.values()]))
    np.testing.assert_allclose(told.after, np.mean([after for _, _, after in told.recalls.values()]))


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=90), st.integers(1, 10))
def test_cells_are_dealt_so_that_each_label_is_spread(labels: list[str], parts: int) -> None:
    dealt = deal(np.array(labels), parts)
    assert dealt.min() >= 0
    assert dealt.max() < parts
    for name in set(labels):
        counts = np.bincount(dealt[np.array(labels) == name], minlength=parts)
        assert counts.max() - counts.min() <= 1
