"""Which cells of a slide tell most when a person names them: of every class, in doubt, and unlike each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def most_telling(
    classes: NDArray[np.integer], confidence: NDArray[np.floating], features: NDArray[np.floating], count: int
) -> NDArray[np.intp]:
    """Choose cells for a person to name, in the order in which they are to be shown; deterministic.

    Classes take turns, the rarest first, so that each gets a like share until it has no cell left. Within a class the
    least sure cell comes first, then the one farthest from all that were chosen before, and so on by turns (uncertainty
    and core-set sampling: Lewis and Gale, SIGIR 1994; Sener and Savarese, ICLR 2018).

    Args:
        classes: (N,) predicted class; confidence: (N,) of it; features: (N, F).
        count: how many.

    Returns:
        (min(N, count),) rows.
    """
    spread = _Spread(features)
    left = np.ones(len(classes), bool)
    names, sizes = np.unique(classes, return_counts=True)
    order = names[np.lexsort((names, sizes))]
    chosen: list[int] = []
    turn = 0
    while len(chosen) < min(count, len(classes)):
        for name in order.tolist():
            rows = np.flatnonzero(left & (classes == name))
            if len(rows) and len(chosen) < count:
                doubtful = turn % 2 == 0
                row = int(rows[confidence[rows].argmin() if doubtful else spread.distances[rows].argmax()])
                chosen.append(row)
                left[row] = False
                spread.choose(row)
        turn += 1
    return np.array(chosen, np.intp)


class _Spread:
    """Distance (N,) of every cell from the nearest chosen one, each feature by its own deviation."""

    def __init__(self, features: NDArray[np.floating]) -> None:
        plain = np.asarray(features, np.float32)
        deviation = plain.std(axis=0) if len(plain) else np.ones(plain.shape[1], np.float32)
        self._features = plain / np.maximum(deviation, 1e-6)
        self.distances = np.full(len(plain), np.inf, np.float32)

    def choose(self, row: int) -> None:
        """Note that a cell was chosen."""
        away = ((self._features - self._features[row]) ** 2).sum(axis=1)
        self.distances = np.minimum(self.distances, away)
