"""A site's statistics: over slides, so that one patient moves them little; and what lies far from them."""

from __future__ import annotations

import numpy as np
import pytest
from hema_models.calibration import softmax
from hema_models.site.statistics import (
    Gathering,
    SlideStatistics,
    distance,
    distances,
    limit_of,
    site_statistics,
    slide_statistics,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from site_world import Laboratory, laboratory

HEALTHY = (0.6, 0.25, 0.06, 0.06, 0.03, 0.0)
SICK = (0.02, 0.03, 0.0, 0.0, 0.0, 0.95)


def slide(place: Laboratory, seed: int, mix: tuple[float, ...] = HEALTHY, cells: int = 120) -> SlideStatistics:
    classes = np.random.default_rng(seed).choice(6, cells, p=mix)
    features = place.cells(classes, seed)
    return slide_statistics(features, softmax(place.answers(features)))


@given(cuts=st.lists(st.integers(0, 60), max_size=4), seed=st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_cells_that_come_in_parts_give_the_same(cuts: list[int], seed: int) -> None:
    place = laboratory(1.0)
    features = place.cells(np.arange(6).repeat(10), seed)
    shares = softmax(place.answers(features))
    gathering = Gathering(features.shape[1], shares.shape[1])
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 60], strict=True):
        gathering.add(features[start:end], shares[start:end])
    whole, parts = slide_statistics(features, shares), gathering.statistics()
    for name in ("counts", "means", "within"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-4, atol=1e-5)


def test_means_and_spread_are_those_of_the_cells() -> None:
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(3, 1, (400, 8)), rng.normal(-2, 1, (400, 8))])
    told = slide_statistics(features, np.eye(2)[np.repeat([0, 1], 400)])
    np.testing.assert_allclose(told.counts, [400, 400])
    np.testing.assert_allclose(told.means, np.array([[3.0], [-2.0]]) @ np.ones((1, 8)), atol=0.2)
    np.testing.assert_allclose(told.within, 1, atol=0.2)


def test_one_sick_patient_moves_the_site_little() -> None:
    place = laboratory(1.0)
    healthy = [slide(place, seed) for seed in range(7)]
    usual = site_statistics(healthy)
    with_sick = site_statistics([*healthy, slide(place, 50, SICK, 4000)])
    common = [0, 1]
    moved = np.abs(with_sick.means[common] - usual.means[common]) / usual.deviation
    assert moved.mean() < 0.1


def test_standardised_cells_of_all_classes_alike_are_centred() -> None:
    place = laboratory(2.0)
    features = place.cells(np.arange(6).repeat(80), 1)
    site = site_statistics([slide_statistics(features, np.eye(6)[np.arange(6).repeat(80)])])
    standardised = site.standardise(features)
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.sqrt((standardised**2).sum(axis=1)).mean(), 4, rtol=0.1)


def test_another_laboratory_is_told_from_ones_own() -> None:
    here, there = laboratory(1.0, seed=1), laboratory(1.0, seed=2)
    there = Laboratory(here.prototypes, there.shift, there.stretch)
    slides = [slide(here, seed) for seed in range(6)]
    site, limit = site_statistics(slides), limit_of(slides)
    assert max(distances(slides)) <= limit
    own, other = distance(slide(here, 77), site), distance(slide(there, 77), site)
    assert own is not None
    assert other is not None
    assert own <= limit < other


def test_slides_without_a_class_in_common_tell_nothing() -> None:
    features = np.ones((10, 3), np.float32)
    first = slide_statistics(features, np.eye(2)[np.zeros(10, int)])
    second = slide_statistics(features, np.eye(2)[np.ones(10, int)])
    assert distance(first, site_statistics([second])) is None


def test_a_site_without_a_slide_is_refused() -> None:
    with pytest.raises(ValueError, match="slide"):
        site_statistics([])
