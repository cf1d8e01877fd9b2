"""What route hands to dedupe: a tile's cells, and the crops of those that are not surely this tile's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hema_stream.core.cells import CellTable
from hema_stream.core.crops import Crops
from hema_stream.core.tile import Box


@dataclass(frozen=True, eq=False)
class Routed:
    """One analysed tile.

    Attributes:
        tile: its index.
        cells: every view of a cell that it holds, numbered 0..N-1.
        late: crops of views under ``Priority.OWNED``, classified only if they are kept.
        removed: what ``clean`` took out, by reason.
        box: of the tile, level-0 pixels; asked for where a plan grows.
        offsets: as the tile's.
    """

    tile: int
    cells: CellTable
    late: tuple[Crops, ...] = ()
    removed: Mapping[str, int] = field(default_factory=dict)
    box: Box | None = None
    offsets: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def units(self) -> Sequence[int]:
        """What is lost when this is lost."""
        return (self.tile,)

    @property
    def rows(self) -> int:
        """Cells, as the runtime counts them."""
        return len(self.cells)

    @property
    def nbytes(self) -> int:
        """Bytes it holds in a queue."""
        return self.cells.nbytes + sum(crops.nbytes for crops in self.late)
