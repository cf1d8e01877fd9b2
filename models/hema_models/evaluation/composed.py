"""Slides composed from answers to single cells: counts by class as a report would have them.

The cells of a slide come from one laboratory. Red cells come as whole fields drawn with replacement, since the cells of
a field share its faults; white cells come one by one, in the proportions of healthy blood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNKNOWN = -1

Counts = NDArray[np.int64]
"""(C + 1,) cells by class, the unknown ones last."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Answers to N cells of one laboratory.

    Attributes:
        said: (N,) int64 class, ``UNKNOWN`` for one that is unknown.
        fields: (N,) int64, which field each came from.
        weights: (N,) float64 chance of each in a draw of single cells, of any sum.
        classes: C, how many classes there are.
    """

    said: NDArray[np.int64]
    fields: NDArray[np.int64]
    weights: NDArray[np.float64]
    classes: int

    def __len__(self) -> int:
        """Count the cells."""
        return len(self.said)

    def counted(self, rows: NDArray[np.int64]) -> Counts:
        """Count some of the cells, repeats as often as they occur."""
        return np.bincount(self.said[rows] % (self.classes + 1), minlength=self.classes + 1)

    def fields_drawn(self, cells: int, rng: np.random.Generator) -> Counts:
        """Draw whole fields with replacement until there are so many cells; the last field's surplus is left out."""
        order = np.argsort(self.fields, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(self.fields[order]) != 0, True])
        sizes = np.diff(starts)
        drawn: list[NDArray[np.int64]] = []
        missing = cells
        while missing > 0:
            field = int(rng.integers(len(sizes)))
            drawn.append(order[starts[field] : starts[field + 1]][:missing])
            missing -= len(drawn[-1])
        return self.counted(np.concatenate(drawn))

    def cells_drawn(self, cells: int, rng: np.random.Generator) -> Counts:
        """Draw single cells with replacement by their weights."""
        return self.counted(rng.choice(len(self), cells, p=self.weights / self.weights.sum()))


def pool(said: NDArray[np.int64], unknown: NDArray[np.bool_], classes: int, fields: Sequence[str] = ()) -> Pool:
    """A pool of cells; without fields each cell is one of its own, and all are drawn alike."""
    numbers = np.unique(np.array(fields), return_inverse=True)[1] if len(fields) else np.arange(len(said))
    answers = np.where(unknown | (said < 0), UNKNOWN, said).astype(np.int64)
    return Pool(answers, numbers.astype(np.int64), np.ones(len(said)), classes)


def weights_by_label(labels: NDArray[np.str_], shares: Mapping[str, float]) -> NDArray[np.float64]:
    """Weights (N,) with which each label comes out in its share; labels without a share never come."""
    weights = np.zeros(len(labels))
    for label, wanted in shares.items():
        own = labels == label
        weights[own] = wanted / max(int(own.sum()), 1)
    return weights


def with_cells(counts: Counts, others: Pool, share: float, rng: np.random.Generator) -> Counts:
    """Put cells of another pool in the place of a share of a slide's, drawn at random from both.

    The number is the share of the slide's cells; what is left over of a whole cell is put in that often.
    """
    wanted = share * int(counts.sum())
    number = int(wanted) + int(rng.random() < wanted - int(wanted))
    taken = rng.multivariate_hypergeometric(counts, number)
    return np.asarray(counts - taken + others.cells_drawn(number, rng) if number else counts)
