"""Features that are kept of a slide: of the counted cells, bounded, the same in any order of labels."""

from __future__ import annotations

import numpy as np
import pytest
from hema_stages.aggregate import kept
from hema_stages.aggregate.kept import KeptFeatures
from hypothesis import given
from hypothesis import strategies as st
from smear import result_of

from hema_stream.core.cells import CellTable, Kind
from hema_stream.core.crops import Labels


def labels(numbers: np.ndarray, stream: str = "wbc") -> Labels:
    """Of cells whose number is what their features say."""
    keys = np.stack([np.zeros(len(numbers)), numbers], axis=1).astype(np.int32)
    told = np.repeat(numbers[:, None], 3, axis=1)
    best = np.zeros(len(numbers), np.int16)
    rest = (told.astype(np.float32), best, np.zeros(len(numbers), bool))
    return Labels(stream, keys, *rest, told.astype(np.float16), -told.astype(np.float32))


def cells(count: int) -> CellTable:
    return result_of([(Kind.WBC, "monocyte")] * count).cells


def test_each_counted_cell_has_its_own_features_in_the_order_of_the_report() -> None:
    gathered = KeptFeatures("wbc")
    for numbers in (np.array([5, 1]), np.array([3]), np.array([1, 9])):
        gathered.add(labels(numbers))
    gathered.add(labels(np.array([2]), "rbc"))
    found = gathered.of(cells(8), "net")
    assert found is not None
    assert (found.stream, found.network) == ("wbc", "net")
    assert found.rows.tolist() == found.keys[:, 1].tolist() == found.features[:, 0].tolist() == [1, 3, 5]
    assert (found.answers[:, 0] == [-1, -3, -5]).all()
    assert (found.features.dtype, found.answers.dtype) == (np.float16, np.float32)


def test_clumps_and_labels_without_features_leave_nothing() -> None:
    gathered = KeptFeatures("wbc")
    whole = labels(np.array([0]))
    gathered.add(Labels("wbc", whole.keys, whole.probabilities, whole.best, whole.unknown))
    assert gathered.of(cells(2), "net") is None
    gathered.add(whole)
    assert gathered.of(cells(2).with_columns(clump=np.array([3, 0], np.int16)), "net") is None


@given(st.integers(1, 7), st.randoms(use_true_random=False))
def test_what_is_kept_is_bounded_and_does_not_hang_on_the_order(size: int, random: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "MOST", 40)
        patch.setattr(kept, "SLACK", 5)
        numbers = np.arange(100)
        mixed = numbers.copy()
        random.shuffle(mixed)  # type: ignore[attr-defined]
        chosen = []
        for order in (numbers, mixed):
            gathered = KeptFeatures("wbc")
            for first in range(0, 100, size):
                gathered.add(labels(order[first : first + size]))
            found = gathered.of(cells(100), "net")
            assert found is not None
            chosen.append(found.keys[:, 1].tolist())
        assert chosen[0] == chosen[1]
        assert len(chosen[0]) == 40
        assert 0 < sum(number < 50 for number in chosen[0]) < 40
