"""Standing of every cell of a slide: counted or not, and with which label. Arrays by tile, no object a cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.cells import CellTable, Kind
from hema_stream.core.crops import Labels
from hema_stream.core.taxonomy import Taxonomy

NO_LABEL = -1
STREAM_OF_KIND = {int(Kind.RBC): "rbc", int(Kind.WBC): "wbc"}


@dataclass(eq=False)
class _TileStanding:
    """Columns by a cell's number within its tile; ``kind`` is -1 until the cell was seen."""

    kind: NDArray[np.int8]
    single: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    best: NDArray[np.int16]
    confidence: NDArray[np.float32]
    unknown: NDArray[np.bool_]
    lost: NDArray[np.bool_]
    final: NDArray[np.bool_]
    cut: NDArray[np.bool_]

    @classmethod
    def of(cls, size: int) -> _TileStanding:
        return cls(
            np.full(size, -1, np.int8),
            np.zeros(size, bool),
            np.zeros(size, bool),
            np.full(size, NO_LABEL, np.int16),
            np.zeros(size, np.float32),
            np.zeros(size, bool),
            np.zeros(size, bool),
            np.zeros(size, bool),
            np.zeros(size, bool),
        )

    def grown(self, size: int) -> _TileStanding:
        if size <= len(self.kind):
            return self
        larger = _TileStanding.of(size)
        for name, column in vars(self).items():
            getattr(larger, name)[: len(column)] = column
        return larger


class Standings:
    """Who is counted, as what; and running counts of it.

    Args:
        size: width and height of the picture, level-0 pixels; a red cell that its border cuts is not graded.
        taxonomies: by stream; those of a site may take the place of the shipped ones before its labels come.
    """

    def __init__(self, taxonomies: dict[str, Taxonomy], size: tuple[float, float]) -> None:
        self._size = size
        self.taxonomies = taxonomies
        self._tiles: dict[int, _TileStanding] = {}
        self._held: dict[int, list[Labels]] = {}
        self.counts: Counter[str] = Counter()
        self.relabelled = 0

    def add(self, cells: CellTable) -> list[Labels]:
        """Count cells; one that is counted already stays so.

        Returns:
            Labels that had come before their cell was counted, or before it was retracted and came back.
        """
        known: list[Labels] = []
        cut = cells.cut(self._size) & (cells.kind == Kind.RBC)
        for tile, rows in _by_tile(cells.tile):
            numbers = cells.index[rows]
            standing = self._grow(tile, int(numbers.max()) + 1)
            fresh = ~standing.counted[numbers]
            standing.kind[numbers] = cells.kind[rows]
            standing.single[numbers] = cells.clump[rows] == 0
            standing.cut[numbers] = cut[rows]
            standing.counted[numbers] = True
            self._count(standing, numbers[fresh], +1)
            for labels in self._held.get(tile, ()):
                own = np.isin(labels.keys[:, 1], numbers[fresh])
                if own.any():
                    known.append(_choose(labels, own))
        return known

    def finalise(self, keys: NDArray[np.int32]) -> None:
        """Note cells that will not change any more; labels are held for others only."""
        for tile, rows in _by_tile(keys[:, 0]):
            standing = self._grow(tile, int(keys[rows, 1].max()) + 1)
            standing.final[keys[rows, 1]] = True
            held = [labels for labels in self._held.pop(tile, ()) if not standing.final[labels.keys[:, 1]].all()]
            if held:
                self._held[tile] = held

    def retract(self, keys: NDArray[np.int32]) -> None:
        """Take cells out of the counts; their labels stay, for they may come back."""
        for tile, rows in _by_tile(keys[:, 0]):
            standing, numbers = self._tiles[tile], keys[rows, 1]
            numbers = numbers[standing.counted[numbers]]
            self._count(standing, numbers, -1)
            standing.counted[numbers] = False

    def label(self, labels: Labels) -> Labels:
        """Enter labels and return those that are of counted cells; a repeat changes nothing."""
        shown = np.zeros(len(labels), bool)
        for tile, rows in _by_tile(labels.keys[:, 0]):
            numbers = labels.keys[rows, 1]
            standing = self._grow(tile, int(numbers.max()) + 1)
            fresh = standing.best[numbers] == NO_LABEL
            self.relabelled += int((~fresh).sum())
            rows, numbers = rows[fresh], numbers[fresh]
            counted = standing.counted[numbers]
            self._count(standing, numbers[counted], -1)
            standing.best[numbers] = labels.best[rows]
            standing.confidence[numbers] = labels.confidence[rows]
            standing.unknown[numbers] = labels.unknown[rows]
            self._count(standing, numbers[counted], +1)
            shown[rows] = counted
            if not standing.final[numbers].all():
                self._held.setdefault(tile, []).append(_choose(labels, rows))
        return _choose(labels, shown)

    def lose(self, keys: NDArray[np.int32]) -> None:
        """Note cells whose classification was lost; they keep their place in the table, without a class."""
        for tile, rows in _by_tile(keys[:, 0]):
            numbers = keys[rows, 1]
            self._grow(tile, int(numbers.max()) + 1).lost[numbers] = True

    def counted(self, cells: CellTable) -> NDArray[np.bool_]:
        """Whether each row of a table is counted now."""
        return self._look_up(cells, "counted")

    def column(self, cells: CellTable, name: str) -> NDArray[np.generic]:
        """Look up ``best``, ``confidence``, ``unknown`` or ``lost`` for the rows of a table."""
        return self._look_up(cells, name)

    def _look_up(self, cells: CellTable, name: str) -> NDArray[np.bool_]:
        out = np.zeros(len(cells), getattr(_TileStanding.of(0), name).dtype)
        for tile, rows in _by_tile(cells.tile):
            out[rows] = getattr(self._tiles[tile], name)[cells.index[rows]]
        return out

    def _grow(self, tile: int, size: int) -> _TileStanding:
        standing = self._tiles.get(tile) or _TileStanding.of(size)
        self._tiles[tile] = standing = standing.grown(size)
        return standing

    def _count(self, standing: _TileStanding, numbers: NDArray[np.integer], sign: int) -> None:
        """Add or take away cells by kind, and single red and white cells by class."""
        for kind, count in zip(*np.unique(standing.kind[numbers], return_counts=True), strict=True):
            self.counts[Kind(kind).name.lower()] += sign * int(count)
            self.counts["cells"] += sign * int(count)
            if int(kind) in STREAM_OF_KIND:
                chosen = numbers[(standing.kind[numbers] == kind) & standing.single[numbers]]
                self._count_classes(STREAM_OF_KIND[int(kind)], standing, chosen, sign)

    def _count_classes(self, stream: str, standing: _TileStanding, numbers: NDArray[np.integer], sign: int) -> None:
        labelled = numbers[standing.best[numbers] != NO_LABEL]
        cut = standing.cut[labelled]
        self.counts[f"{stream}/cut"] += sign * int(cut.sum())
        labelled = labelled[~cut]
        unknown = standing.unknown[labelled]
        self.counts[f"{stream}/unknown"] += sign * int(unknown.sum())
        best, counts = np.unique(standing.best[labelled[~unknown]], return_counts=True)
        for position, count in zip(best, counts, strict=True):
            self.counts[f"{stream}/{self.taxonomies[stream].names[position]}"] += sign * int(count)


def _by_tile(tiles: NDArray[np.int32]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Walk the tiles of a column with the rows of each."""
    for tile in np.unique(tiles):
        yield int(tile), np.flatnonzero(tiles == tile)


def _choose(labels: Labels, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Labels:
    features = None if labels.features is None else labels.features[rows]
    answers = None if labels.answers is None else labels.answers[rows]
    best, unknown = labels.best[rows], labels.unknown[rows]
    return Labels(labels.stream, labels.keys[rows], labels.probabilities[rows], best, unknown, features, answers)
