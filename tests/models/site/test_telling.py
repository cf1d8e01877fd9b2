"""The most telling cells: every class gets some, the least sure come first, and they are unlike each other."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hema_models.site.telling import most_telling
from hypothesis import given
from hypothesis import strategies as st


@st.composite
def slides(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    classes = rng.choice(draw(st.integers(1, 6)), count)
    return classes, rng.random(count).astype(np.float32), rng.normal(size=(count, 5)).astype(np.float16)


@given(slides(), st.integers(1, 30))
def test_no_cell_twice_and_as_many_as_there_are(slide: tuple[np.ndarray, ...], count: int) -> None:
    rows = most_telling(*slide, count)
    assert len(set(rows.tolist())) == len(rows) == min(count, len(slide[0]))
    np.testing.assert_array_equal(rows, most_telling(*slide, count))


@given(slides(), st.integers(1, 30))
def test_classes_get_like_shares_unless_they_have_no_cell_left(slide: tuple[np.ndarray, ...], count: int) -> None:
    classes = slide[0]
    all_of, taken = Counter(classes.tolist()), Counter(classes[most_telling(*slide, count)].tolist())
    most = max(taken.values(), default=0)
    for name, size in all_of.items():
        assert taken[name] >= min(size, most - 1)


@given(slides())
def test_of_each_class_the_least_sure_comes_first(slide: tuple[np.ndarray, ...]) -> None:
    classes, confidence, _ = slide
    rows = most_telling(*slide, len(classes))
    for name in set(classes.tolist()):
        first = next(row for row in rows.tolist() if classes[row] == name)
        assert confidence[first] == confidence[classes == name].min()


@given(slides())
def test_a_longer_session_begins_as_a_shorter_one(slide: tuple[np.ndarray, ...]) -> None:
    np.testing.assert_array_equal(most_telling(*slide, 25)[:10], most_telling(*slide, 10))


def test_the_second_of_a_class_is_the_one_unlike_all_before() -> None:
    features = np.array([[0, 0], [0.1, 0], [0.2, 0], [9, 9], [0.3, 0]], np.float32)
    confidence = np.array([0.9, 0.4, 0.5, 0.99, 0.45], np.float32)
    assert most_telling(np.zeros(5, int), confidence, features, 3).tolist() == [1, 3, 4]


def test_the_rarest_class_begins() -> None:
    classes = np.array([0, 0, 0, 1, 2, 2])
    assert classes[most_telling(classes, np.ones(6), np.eye(6), 3)].tolist() == [1, 2, 0]
