"""A change of a slide as clients get it, and several of them coalesced into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from hema_stream.core.cells import CellTable, Priority
from hema_stream.core.crops import Labels
from hema_stream.core.delta import SlideDelta
from hema_stream.core.result import TallyResult
from hema_stream.core.units import CONTOUR_UNIT
from hema_stream.service.live.columns import CELL, LABEL, TILE, Columns

OUTCOMES = ("analysed", "background", "rejected", "gap", "cancelled")
NO_CLASS = -1
ENVELOPE, ENTRY = 1024, 32
"""Bytes that a message's frame and an entry of its counts are taken for, on the safe side."""


@dataclass(frozen=True, eq=False)
class Outlines:
    """Outlines of the added cells, row for row.

    Attributes:
        starts: (N + 1,) int64 first vertex of each row.
        vertices: (V, 2) int16 steps of ``unit`` from the corner of the cell's box.
        unit: level-0 pixels a step.
    """

    starts: NDArray[np.int64]
    vertices: NDArray[np.int16]
    unit: float

    @classmethod
    def of(cls, cells: CellTable) -> Outlines:
        """Take the outlines of a table."""
        return cls(cells.starts, cells.vertices, CONTOUR_UNIT * cells.scale)


@dataclass(frozen=True, eq=False)
class Change:
    """Changes ``first`` to ``last`` of a slide, applied in the order retracted, added, labelled, tiles.

    Attributes:
        retracted: (R, 2) int32 keys.
        added, labelled, tiles: cell, label and tile columns; a key is in one of the first two at most once.
        counts, progress: as they stand after ``last``.
    """

    first: int
    last: int
    retracted: NDArray[np.int32]
    added: Columns
    labelled: Columns
    tiles: Columns
    counts: Mapping[str, int]
    progress: Mapping[str, int]

    @classmethod
    def of(cls, delta: SlideDelta) -> Change:
        """Turn one delta of the tally into what travels; labels of cells added with it go with them."""
        index = np.fromiter(delta.ended, np.int32, len(delta.ended))
        outcome = np.array([OUTCOMES.index(name) for name in delta.ended.values()], np.uint8)
        alone = cls(
            first=delta.seq,
            last=delta.seq,
            retracted=delta.retracted.astype("<i4"),
            added=_cells(delta.added),
            labelled=_labels(delta.labelled),
            tiles=Columns.of(TILE, index=index, outcome=outcome),
            counts=delta.counts,
            progress=delta.progress,
        )
        return coalesce([alone])

    @classmethod
    def of_result(cls, result: TallyResult) -> Change:
        """Everything that a result counts, as one change; its number is given where it is published."""
        cells = _cells(result.cells)
        cells["best"][:], cells["unknown"][:] = result.best, result.unknown
        cells["confidence"][:] = np.where(result.best == NO_CLASS, 0, _in(result.confidence, 10_000))
        return cls(
            first=0,
            last=0,
            retracted=np.zeros((0, 2), np.int32),
            added=cells,
            labelled=Columns.empty(LABEL),
            tiles=Columns.empty(TILE),
            counts=dict(result.counts),
            progress={**result.tiles, "planned": sum(result.tiles.values())},
        )

    @property
    def nbytes(self) -> int:
        """Bytes that the message takes, at most."""
        arrays = self.retracted.nbytes + self.added.nbytes + self.labelled.nbytes + self.tiles.nbytes
        return arrays + ENVELOPE + ENTRY * (len(self.counts) + len(self.progress))

    @cached_property
    def frame(self) -> bytes:
        """The message, packed once for all who get it."""
        packed: bytes = msgpack.packb(
            {
                "type": "delta",
                "first": self.first,
                "last": self.last,
                "retracted": self.retracted.tobytes(),
                "added": self.added.pack(),
                "labelled": self.labelled.pack(),
                "tiles": self.tiles.pack(),
                "counts": dict(self.counts),
                "progress": dict(self.progress),
            }
        )
        return packed


def coalesce(changes: Sequence[Change]) -> Change:
    """Make one change of consecutive ones: whoever applies it ends where all of them, one by one, lead.

    Of a key only its last addition or retraction stays, and its last label after that; a label of a cell that is added
    here travels in the cell's own columns.
    """
    cells = Columns.concatenate([change.added for change in changes])
    retracted, kept, last_word = _last_words(changes, codes(cells["keys"]))
    added = cells.take(kept)
    labels = _last_labels(changes, last_word)
    own = find(codes(labels["keys"]), codes(added["keys"]))
    for name in ("best", "confidence", "unknown"):
        added[name][own[own >= 0]] = labels[name][own >= 0]
    tiles = Columns.concatenate([change.tiles for change in changes])
    return Change(
        first=changes[0].first,
        last=changes[-1].last,
        retracted=retracted,
        added=added,
        labelled=labels.take((own < 0) & ~np.isin(codes(labels["keys"]), codes(retracted))),
        tiles=tiles.take(_last_of_each(tiles["index"])),
        counts=changes[-1].counts,
        progress=changes[-1].progress,
    )


@dataclass(frozen=True)
class _LastWord:
    """Codes of keys that were added or retracted, and the number of the change in which that was last."""

    codes: NDArray[np.int64]
    turns: NDArray[np.intp]

    def turn_of(self, wanted: NDArray[np.int64]) -> NDArray[np.intp]:
        """Turn of each wanted code; -1 where it was neither added nor retracted."""
        rows = find(wanted, self.codes)
        return np.append(self.turns, -1)[rows]


def _last_words(
    changes: Sequence[Change], added: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.intp], _LastWord]:
    """Keys that end retracted, rows of ``added`` that end standing, and when that was decided."""
    gone = np.concatenate([change.retracted for change in changes])
    words = np.concatenate([codes(gone), added])
    turns = np.arange(len(changes))
    turns = np.concatenate(
        [np.repeat(turns, [len(c.retracted) for c in changes]), np.repeat(turns, [len(c.added) for c in changes])]
    )
    # Stable, and retractions come first: within one change what is added stands.
    order = np.argsort(turns, kind="stable")
    last = np.sort(order[_last_of_each(words[order])])
    retracted, kept = last[last < len(gone)], last[last >= len(gone)] - len(gone)
    return gone[retracted], kept, _LastWord(words[last], turns[last])


def _last_labels(changes: Sequence[Change], last_word: _LastWord) -> Columns:
    """The last label of each key, without those that an addition or retraction has overtaken."""
    labels = Columns.concatenate([change.labelled for change in changes])
    turns = np.repeat(np.arange(len(changes)), [len(change.labelled) for change in changes])
    labels = labels.take(turns >= last_word.turn_of(codes(labels["keys"])))
    return labels.take(_last_of_each(codes(labels["keys"])))


def codes(keys: NDArray[np.int32]) -> NDArray[np.int64]:
    """(N, 2) keys as (N,) numbers that sort as the keys do."""
    return (keys[:, 0].astype(np.int64) << 32) | keys[:, 1].astype(np.int64)


def find(wanted: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.intp]:
    """Row of each wanted code among codes without repeats, in any order; -1 where it is not there."""
    if not len(among):
        return np.full(len(wanted), -1)
    order = np.argsort(among)
    place = np.minimum(np.searchsorted(among, wanted, sorter=order), len(among) - 1)
    return np.where(among[order[place]] == wanted, order[place], -1)


def _last_of_each(values: NDArray[Any]) -> NDArray[np.intp]:
    """Row of the last occurrence of each value, in the order of the rows."""
    _, backwards = np.unique(values[::-1], return_index=True)
    return np.sort(len(values) - 1 - backwards)


def _cells(cells: CellTable) -> Columns:
    count = len(cells)
    return Columns.of(
        CELL,
        keys=cells.keys,
        kind=cells.kind,
        best=np.full(count, NO_CLASS),
        confidence=np.zeros(count),
        unknown=np.zeros(count),
        score=_in(cells.score, 10_000),
        box=_in(cells.boxes, 100),
        centre=_in(cells.centroid, 100),
        area=cells.area,
        clump=cells.clump,
        truncated=cells.priority == Priority.EDGE,
    )


def _labels(parts: Sequence[Labels]) -> Columns:
    made = [
        Columns.of(LABEL, keys=part.keys, best=part.best, confidence=_in(part.confidence, 10_000), unknown=part.unknown)
        for part in parts
    ]
    return Columns.concatenate(made) if made else Columns.empty(LABEL)


def _in(values: NDArray[np.floating], steps: int) -> NDArray[np.float64]:
    """In whole steps of one over ``steps``, rounded as the report rounds."""
    return np.rint(values.astype(np.float64) * steps)
