"""Corrected shares and chances: vectors, limits, and what more cells must never do."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hema_stream.clinical.claims import chance_by_error, corrected, corrected_limits, corrected_share, together
from hema_stream.clinical.interval import lower_limit, upper_limit
from hema_stream.core.rates import ClassRates, Rate

KNOWN = ClassRates(Rate(50, 1000), Rate(180, 200), 3)


@st.composite
def rates(draw: st.DrawFn) -> ClassRates:
    false_of, recall_of = draw(st.integers(1, 20_000)), draw(st.integers(1, 2_000))
    false = Rate(draw(st.integers(0, false_of)), false_of)
    recall = Rate(draw(st.integers(0, recall_of)), recall_of)
    return ClassRates(false, draw(st.sampled_from([recall, None])), 2)


@st.composite
def counts(draw: st.DrawFn) -> Rate:
    of = draw(st.integers(1, 5_000))
    return Rate(draw(st.integers(0, of)), of)


@pytest.mark.parametrize(
    ("share", "sensitivity", "specificity", "true"),
    [(0.30, 0.90, 0.95, 0.25 / 0.85), (0.05, 0.90, 0.95, 0.0), (0.90, 0.90, 0.95, 1.0), (0.1, 1.0, 1.0, 0.1)],
)
def test_rogan_and_gladen(share: float, sensitivity: float, specificity: float, true: float) -> None:
    assert corrected(share, sensitivity, 1 - specificity) == pytest.approx(true)


def test_a_share_under_the_error_rate_is_none_and_one_over_the_recall_is_all() -> None:
    assert corrected_share(Rate(10, 1000), KNOWN) == 0.0
    assert corrected_share(Rate(950, 1000), KNOWN) == 1.0


def test_a_class_that_is_called_as_often_where_it_is_not_tells_nothing() -> None:
    useless = ClassRates(Rate(90, 100), Rate(90, 100), 2)
    assert corrected_share(Rate(50, 100), useless) is None
    assert corrected_limits(Rate(50, 100), useless) == (0.0, 1.0)


def test_rates_that_are_all_but_exact_leave_the_binomial_of_the_count() -> None:
    sure = ClassRates(Rate(0, 10**9), Rate(10**9, 10**9), 2)
    low, high = corrected_limits(Rate(20, 1000), sure)
    assert low == pytest.approx(lower_limit(20, 1000, 0.05), abs=1e-6)
    assert high == pytest.approx(upper_limit(20, 1000, 0.05), abs=1e-6)


def test_the_three_distances_are_added_as_squares() -> None:
    found = Rate(200, 1000)
    best = corrected(0.2, 0.9, 0.05)
    assert best is not None
    moved = (
        corrected(lower_limit(200, 1000, 0.05), 0.9, 0.05),
        corrected(0.2, 0.9, upper_limit(50, 1000, 0.05)),
        corrected(0.2, upper_limit(180, 200, 0.05), 0.05),
    )
    distance = sum((best - end) ** 2 for end in moved if end is not None) ** 0.5
    assert corrected_limits(found, KNOWN)[0] == pytest.approx(best - distance)


@given(found=counts(), known=rates())
def test_the_share_lies_within_its_limits(found: Rate, known: ClassRates) -> None:
    low, high = corrected_limits(found, known)
    share = corrected_share(found, known)
    assert 0 <= low <= high <= 1
    if share is not None:
        assert low - 1e-9 <= share <= high + 1e-9


@given(found=counts(), known=rates(), times=st.integers(2, 50))
def test_more_cells_of_the_same_share_are_never_less_certain(found: Rate, known: ClassRates, times: int) -> None:
    low, high = corrected_limits(found, known)
    more_low, more_high = corrected_limits(Rate(found.k * times, found.of * times), known)
    assert more_low >= low - 1e-9
    assert more_high <= high + 1e-9


@given(known=rates(), of=st.integers(1, 5_000), data=st.data())
def test_what_the_error_rate_explains_is_never_a_share(known: ClassRates, of: int, data: st.DataObject) -> None:
    most = int(known.false_positive.share * of)
    k = data.draw(st.integers(0, most))
    assert corrected_limits(Rate(k, of), known)[0] == 0.0


def test_chance_by_error_is_the_binomial_at_the_rates_upper_limit() -> None:
    rate = upper_limit(2, 5000, 0.05)
    exact = 1 - sum(comb(400, i) * rate**i * (1 - rate) ** (400 - i) for i in range(3))
    assert chance_by_error(Rate(3, 400), Rate(2, 5000)) == pytest.approx(exact, rel=1e-6)


def test_nothing_found_or_nothing_known_is_by_error() -> None:
    assert chance_by_error(Rate(0, 400), Rate(2, 5000)) == 1.0
    assert chance_by_error(Rate(400, 400), Rate(0, 0)) == 1.0


@given(known=rates(), k=st.integers(1, 50), of=st.integers(50, 5_000))
def test_more_found_is_less_by_error(known: ClassRates, k: int, of: int) -> None:
    more = chance_by_error(Rate(k + 1, of + 1), known.false_positive)
    assert more <= chance_by_error(Rate(k, of), known.false_positive) + 1e-12


def test_classes_together_have_all_their_errors_and_no_recall() -> None:
    other = ClassRates(Rate(7, 800), Rate(3, 4), 1)
    assert together([KNOWN, other]) == ClassRates(Rate(57, 800), None, 1)
    assert together([KNOWN]) == KNOWN
    assert together([KNOWN, None]) is None
    assert together([]) is None
