"""Features of a slide's cells, gathered as labels come; bounded, and the same cells in whatever order they come."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.cells import CellTable
from hema_stream.core.crops import Labels
from hema_stream.core.features import CellFeatures

MOST = 5000
"""Cells a slide: 13 MB of 1,280 features."""
SLACK = 1000
"""Cells above ``MOST`` that may come before some are let go."""


class KeptFeatures:
    """What labels carry of one stream.

    Above ``MOST`` cells those stay whose keys, mixed to numbers without order, are the least: an even choice from all
    of the slide, which does not hang on what was labelled first.
    """

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._parts: list[_Part] = []
        self._held = 0

    def add(self, labels: Labels) -> None:
        """Keep what labels carry; those of another stream, or without features, are passed over."""
        if labels.stream != self._stream or labels.features is None or labels.answers is None or not len(labels):
            return
        self._parts.append((labels.keys, labels.features, labels.answers))
        self._held += len(labels)
        if self._held > MOST + SLACK:
            self._settle()

    def of(self, cells: CellTable, network: str) -> CellFeatures | None:
        """Those of the cells of a table, in its order; None where nothing was kept of any."""
        if not self._held:
            return None
        self._settle()
        [(keys, features, answers)] = self._parts
        codes, wanted = _codes(keys), _codes(cells.keys)
        places = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
        rows = np.flatnonzero((codes[places] == wanted) & (cells.clump == 0))
        if not len(rows):
            return None
        taken = places[rows]
        return CellFeatures(self._stream, network, rows.astype(np.int32), keys[taken], features[taken], answers[taken])

    def _settle(self) -> None:
        """One part, each cell once, by key, not more than ``MOST``."""
        keys, features, answers = (np.concatenate(columns) for columns in zip(*self._parts, strict=True))
        codes, first = np.unique(_codes(keys), return_index=True)
        if len(codes) > MOST:
            first = first[np.sort(np.argsort(_mixed(codes), kind="stable")[:MOST])]
        self._parts, self._held = [(keys[first], features[first], answers[first])], len(first)


_Part = tuple[NDArray[np.int32], NDArray[np.float16], NDArray[np.float32]]


def _codes(keys: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Keys (N, 2) as numbers that sort as they do."""
    return keys[:, 0].astype(np.uint64) << np.uint64(32) | keys[:, 1].astype(np.uint64)


def _mixed(codes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele et al., OOPSLA 2014): one to one, and without any order."""
    out = codes * np.uint64(0x9E3779B97F4A7C15)
    out = (out ^ out >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    out = (out ^ out >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return out ^ out >> np.uint64(31)
