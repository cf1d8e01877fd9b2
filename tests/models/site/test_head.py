"""A site's head: what it leaves as it is, what it corrects, and what a wrong label can do."""

from __future__ import annotations

import numpy as np
import pytest
from hema_models.calibration import softmax
from hema_models.site import head as module
from hema_models.site.head import SiteHead, answers_of, background_of, fit_head, with_newcomers
from hema_models.site.statistics import SiteStatistics, site_statistics, slide_statistics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad
from site_world import CLASSES, Laboratory, accuracy, laboratory, table

OWN = ("hairy_cell",)
HAIRY = len(CLASSES)


def at_large(place: Laboratory, seed: int = 5) -> SiteStatistics:
    features = place.cells(np.repeat(np.arange(len(CLASSES)), 60), seed)
    return site_statistics([slide_statistics(features, softmax(place.answers(features)))])


def fitted(place: Laboratory, each: int, seed: int, classes: tuple[int, ...], penalty: float = 0.1) -> SiteHead:
    reviewed, statistics = place.reviewed(each, seed, classes), at_large(place)
    return fit_head(reviewed.answers, statistics.standardise(reviewed.features), table(reviewed.labels), penalty)


@given(seed=st.integers(0, 50), classes=st.sets(st.integers(0, 5), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_classes_of_which_no_cell_was_named_keep_their_logits(seed: int, classes: set[int]) -> None:
    place = laboratory(2.0, seed)
    head = fitted(place, 3, seed, tuple(sorted(classes)))
    features = place.cells(np.arange(6).repeat(5), seed + 1)
    answers = place.answers(features)
    corrected = head.correct(answers, at_large(place).standardise(features))
    unseen = [c for c in range(6) if c not in classes]
    named = sorted(classes)
    np.testing.assert_allclose(corrected[:, unseen], answers[:, unseen], atol=1e-5)
    together = np.log(np.exp(corrected[:, named]).sum(axis=1)) - np.log(np.exp(answers[:, named]).sum(axis=1))
    np.testing.assert_allclose(together, head.gain, atol=1e-5)


def test_a_head_without_evidence_is_the_network() -> None:
    place = laboratory(2.0)
    head = fitted(place, 3, 1, tuple(range(6)), penalty=1e9)
    features = place.cells(np.arange(6).repeat(20), 2)
    answers = place.answers(features)
    np.testing.assert_allclose(head.correct(answers, at_large(place).standardise(features)), answers, atol=1e-4)


def test_named_cells_make_up_for_a_shift() -> None:
    place = laboratory(2.5)
    classes = np.arange(6).repeat(60)
    features = place.cells(classes, 9)
    answers, standardised = place.answers(features), at_large(place).standardise(features)
    before = accuracy(answers, classes)
    after = [
        accuracy(fitted(place, each, 1, tuple(range(6))).correct(answers, standardised), classes) for each in (3, 20)
    ]
    assert before < after[0] < after[1]
    assert after[1] > before + 0.08


def test_a_row_does_not_see_its_neighbours() -> None:
    """Bit for bit, since cells come in batches of whatever slides are under way."""
    place = laboratory(1.5)
    head = fitted(place, 5, 1, tuple(range(6)))
    features = place.cells(np.arange(6).repeat(11), 3)
    answers, standardised = place.answers(features), at_large(place).standardise(features)
    whole = head.correct(answers, standardised)
    for rows in (slice(0, 1), slice(7, 40), slice(65, 66)):
        np.testing.assert_array_equal(head.correct(answers[rows], standardised[rows]), whole[rows])


def test_the_slope_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    allowed = np.zeros((20, 8), bool)
    allowed[np.arange(16), rng.integers(0, 4, 16)] = True
    allowed[16:, 6] = True
    allowed[5:9, 2] = True  # labels that leave two classes possible
    named = allowed.any(axis=0)
    named[6:] = True
    base = with_newcomers(np.log(rng.dirichlet(np.ones(6), 20)), 2)
    task = module._Task(base, rng.normal(size=(20, 5)), allowed, rng.uniform(0.1, 1, 20), named, 2, 0.1)
    at = rng.normal(size=6 * int(named.sum()) + 1)
    assert check_grad(lambda x: task._loss(x)[0], lambda x: task._loss(x)[1], at) < 1e-5


def test_a_class_of_ten_cells_is_found_again_and_costs_the_others_few() -> None:
    place = laboratory(1.0, extra=1)
    reviewed, statistics = place.reviewed(10, 1, (0, 1, 2, HAIRY)), at_large(place)
    standardised = statistics.standardise(reviewed.features)
    head = fit_head(reviewed.answers, standardised, table(reviewed.labels, OWN), 0.1, background_of(statistics))
    classes = np.arange(7).repeat(60)
    features = place.cells(classes, 8)
    answers = place.answers(features)
    corrected = head.correct(answers, statistics.standardise(features))
    own = classes == HAIRY
    assert (corrected[own].argmax(axis=1) == HAIRY).mean() > 0.7
    assert (corrected[~own].argmax(axis=1) == HAIRY).mean() < 0.08
    assert accuracy(corrected[~own], classes[~own]) > accuracy(answers[~own], classes[~own]) - 0.06


def test_a_class_of_ones_own_is_told_from_cells_at_large_alone() -> None:
    """Where no other cell was named, only the background keeps it from taking all."""
    place = laboratory(1.0, extra=1)
    reviewed, statistics = place.reviewed(10, 1, (HAIRY,)), at_large(place)
    standardised, allowed = statistics.standardise(reviewed.features), table(reviewed.labels, OWN)
    features = place.cells(np.arange(6).repeat(60), 8)
    others = [
        head.correct(place.answers(features), statistics.standardise(features)).argmax(axis=1) == HAIRY
        for head in (
            fit_head(reviewed.answers, standardised, allowed, 0.1, background_of(statistics)),
            fit_head(reviewed.answers, standardised, allowed, 0.1),
        )
    ]
    assert others[0].mean() < 0.1 < others[1].mean()


def test_a_newcomer_is_silent_before_its_cells_speak() -> None:
    answers = answers_of(np.array([[0.5, 0.3, 0.2], [0.98, 0.01, 0.01]]))
    shares = softmax(with_newcomers(answers, 1))
    np.testing.assert_allclose(shares[:, -1], module.NEWCOMER, rtol=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_one_wrong_label_in_ten_is_not_worse_than_no_head(seed: int) -> None:
    place = laboratory(2.5, seed)
    reviewed, statistics = place.reviewed(10, seed), at_large(place)
    allowed = table(reviewed.labels)
    rng = np.random.default_rng(seed)
    wrong = rng.permutation(len(reviewed))[: len(reviewed) // 10]
    allowed[wrong] = np.roll(allowed[wrong], 1 + seed, axis=1)
    head = fit_head(reviewed.answers, statistics.standardise(reviewed.features), allowed, 0.1)
    classes = np.arange(6).repeat(60)
    features = place.cells(classes, 9)
    answers = place.answers(features)
    assert accuracy(head.correct(answers, statistics.standardise(features)), classes) >= accuracy(answers, classes)
