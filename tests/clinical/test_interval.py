"""Exact limits, by the vectors of the clinical reference and by what defines them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from hema_stream.clinical.interval import clopper_pearson, share


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
def test_vectors(k: int, n: int, low: float, high: float) -> None:
    assert clopper_pearson(k, n) == pytest.approx((low, high), abs=0.006)


@given(n=st.integers(1, 400), part=st.floats(0, 1))
def test_the_limits_leave_a_fortieth_in_each_tail(n: int, part: float) -> None:
    k = round(n * part)
    limits = clopper_pearson(k, n)
    assert limits is not None
    low, high = (limit / 100 for limit in limits)
    step = 1e-4  # limits are rounded to a hundredth of a percent
    if k:
        assert binom.sf(k - 1, n, max(low - step, 0)) <= 0.025 <= binom.sf(k - 1, n, low + step)
    if k < n:
        assert binom.cdf(k, n, min(high + step, 1)) <= 0.025 <= binom.cdf(k, n, high - step)


def test_all_of_them() -> None:
    assert clopper_pearson(100, 100) == pytest.approx((96.38, 100), abs=0.006)


def test_no_denominator_no_interval() -> None:
    assert clopper_pearson(0, 0) is None
    assert share(0, 0).percent is None


@pytest.mark.parametrize(("k", "n"), [(2, 1), (-1, 5), (1, 0)])
def test_more_than_all_is_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        clopper_pearson(k, n)


def test_a_share_names_its_denominator() -> None:
    assert share(5, 100).model_dump() == {
        "count": 5,
        "of": 100,
        "percent": 5.0,
        "ci95": (1.64, 11.28),
        "percent_of_all": 5.0,
        "with_unknown": (1.64, 11.28),
    }


def test_unknown_cells_are_in_the_denominator_and_widen_the_interval() -> None:
    made = share(5, 100, 100)
    assert (made.percent, made.ci95, made.percent_of_all) == (5.0, (1.64, 11.28), 2.5)
    assert made.with_unknown is not None
    assert made.with_unknown[0] == (clopper_pearson(5, 200) or (0, 0))[0]
    assert made.with_unknown[1] == (clopper_pearson(105, 200) or (0, 0))[1]


def test_what_is_not_gradable_has_only_what_the_unknown_leave_open() -> None:
    made = share(5, 100, 100, gradable=False)
    assert (made.percent, made.ci95, made.percent_of_all) == (None, None, None)
    assert made.with_unknown == share(5, 100, 100).with_unknown
    assert share(0, 0, 4).with_unknown == (0.0, 100.0)
    assert share(0, 0).with_unknown is None


@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400))
def test_the_share_of_all_lies_within_what_the_unknown_leave_open(k: int, others: int, unknown: int) -> None:
    made = share(k, k + others, unknown)
    if made.with_unknown is not None and made.percent_of_all is not None:
        assert made.with_unknown[0] - 0.01 <= made.percent_of_all <= made.with_unknown[1] + 0.01
        more = share(k, k + others, unknown + 1).with_unknown
        assert more is not None
        assert more[1] >= made.with_unknown[1] - 0.01
        assert more[0] <= made.with_unknown[0] + 0.01
