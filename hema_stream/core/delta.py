"""Deltas: what dedupe tells the tally, and what the tally tells observers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.cells import CellTable
from hema_stream.core.crops import Labels
from hema_stream.core.field import Acquisition
from hema_stream.core.naming import Naming

Keys = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class CellDelta:
    """What changed in the set of counted cells.

    Attributes:
        added: cells that are counted from now on, with all columns.
        retracted: (N, 2) keys that are no longer counted.
        kept: (N, 2) keys that are final and counted.
        dropped: (N, 2) keys that are final and not counted.
        ended: tile index to how it ended (``analysed``, ``background``, ``rejected``, ``gap``, ``cancelled``).
        reasons: tile index to why, where it was not analysed.
        removed: reason of removal (by clean) to number, of priority-2 views.
        planned: tiles that were added to a plan that grows.
        acquisition: what a scan was made of, at its end.
    """

    added: CellTable
    retracted: Keys
    kept: Keys
    dropped: Keys
    ended: Mapping[int, str] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    planned: Sequence[int] = ()
    acquisition: Acquisition | None = None

    @property
    def nbytes(self) -> int:
        """Bytes it holds in a queue."""
        return int(self.added.nbytes + self.retracted.nbytes + self.kept.nbytes + self.dropped.nbytes + 512)

    @property
    def rows(self) -> int:
        """Cells added, as the runtime counts rows."""
        return len(self.added)


@dataclass(frozen=True, eq=False)
class SlideDelta:
    """What an observer applies to follow a slide.

    Attributes:
        slide: slide id.
        seq: number from 1, without holes.
        added: cells with all columns (a returning key repeats them).
        retracted: (N, 2) keys.
        labelled: labels that became known, of counted cells.
        counts: running counts (``cells``, ``rbc``, ``wbc``, ``platelet``, and ``rbc/<class>``, ``wbc/<class>``,
            ``rbc/unknown``, ``wbc/unknown``).
        progress: tiles ended by outcome, and ``planned``.
        ended: tile index to how it ended, of the tiles that ended with this delta.
        naming: what names the cells, as far as it is known; labels are of its classes.
    """

    slide: str
    seq: int
    added: CellTable
    retracted: Keys
    labelled: tuple[Labels, ...]
    counts: Mapping[str, int]
    progress: Mapping[str, int]
    ended: Mapping[int, str] = field(default_factory=dict)
    naming: Naming = field(default_factory=Naming)

    @property
    def nbytes(self) -> int:
        """Bytes it holds in a queue."""
        return int(self.added.nbytes + self.retracted.nbytes + sum(x.nbytes for x in self.labelled) + 1024)
