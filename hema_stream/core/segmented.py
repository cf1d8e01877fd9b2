"""What the segmenter hands on: a tile with the table of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hema_stream.core.cells import CellTable
from hema_stream.core.tile import Tile


@dataclass(frozen=True, eq=False)
class Segmented:
    """A tile and its cells.

    Attributes:
        tile: with its pixels, which the crops are cut from.
        cells: every view of a cell on it.
        removed: what was taken out so far, by reason.
    """

    tile: Tile
    cells: CellTable
    removed: Mapping[str, int] = field(default_factory=dict)

    @property
    def units(self) -> Sequence[int]:
        """What is lost when this is lost."""
        return self.tile.units

    @property
    def rows(self) -> int:
        """Cells, as the runtime counts them."""
        return len(self.cells)

    @property
    def nbytes(self) -> int:
        """Bytes it holds in a queue."""
        return self.tile.nbytes + self.cells.nbytes

    def with_cells(self, cells: CellTable, removed: Mapping[str, int]) -> Segmented:
        """Return the same tile with other cells."""
        return replace(self, cells=cells, removed=removed)
