"""Cells that people named, as a site's head learns from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hema_models.site.statistics import SlideStatistics, slide_statistics


@dataclass(frozen=True, eq=False)
class Reviewed:
    """N named cells of one stream.

    Attributes:
        features: (N, F) float16, the network's last features.
        answers: (N, C) float32, the network's log-probabilities in the order of the taxonomy's classes.
        labels: N names; a label may leave several classes possible.
        origins: N, where each cell came from: a picture, or a slide and a cell.
    """

    features: NDArray[np.float16]
    answers: NDArray[np.float32]
    labels: NDArray[np.str_]
    origins: NDArray[np.str_]

    def __len__(self) -> int:
        """Count the cells."""
        return len(self.labels)

    def take(self, rows: NDArray[np.intp]) -> Reviewed:
        """The chosen cells."""
        return Reviewed(self.features[rows], self.answers[rows], self.labels[rows], self.origins[rows])

    def sorted(self) -> Reviewed:
        """The same cells in the order of origin and label, each origin once: the last name given stands."""
        last = {origin: row for row, origin in enumerate(self.origins.tolist())}
        return self.take(np.array([last[origin] for origin in sorted(last)], np.intp))

    def joined(self, others: Reviewed) -> Reviewed:
        """These and others; where both hold a cell, the others' name stands."""
        return Reviewed(
            np.concatenate([self.features, others.features]),
            np.concatenate([self.answers, others.answers]),
            np.concatenate([self.labels, others.labels]),
            np.concatenate([self.origins, others.origins]),
        ).sorted()

    def counts(self) -> Counter[str]:
        """Cells by label."""
        return Counter(self.labels.tolist())

    def statistics(self, allowed: NDArray[np.bool_]) -> SlideStatistics:
        """The cells' own statistics, each by the classes (N, C) that its label leaves possible."""
        shares = allowed / np.maximum(allowed.sum(axis=1, keepdims=True), 1)
        return slide_statistics(self.features, shares)


def empty(features: int, classes: int) -> Reviewed:
    """No cells."""
    none: Sequence[str] = []
    return Reviewed(
        np.zeros((0, features), np.float16),
        np.zeros((0, classes), np.float32),
        np.array(none, str),
        np.array(none, str),
    )
