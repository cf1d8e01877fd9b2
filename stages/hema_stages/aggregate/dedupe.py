"""Dedupe: which views are counted, exactly and as tiles arrive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stages.aggregate.held import HeldCrops
from hema_stages.aggregate.incremental import IncrementalNMS
from hema_stream.core.cells import CellTable
from hema_stream.core.delta import CellDelta
from hema_stream.core.field import Acquisition, TilesPassed
from hema_stream.core.routed import Routed
from hema_stream.flow import Caps, Gap, Pad, Policy, Stage, cpu, prop

NO_KEYS = np.zeros((0, 2), np.int32)


@dataclass
class _Counting:
    nms: IncrementalNMS
    held: HeldCrops
    growing: bool
    tables: dict[int, CellTable] = field(default_factory=dict)
    open_rows: dict[int, int] = field(default_factory=dict)


class Dedupe(Stage):
    """Decide which views of cells are counted, with ``IncrementalNMS``, and hand on what changed.

    A view that is not surely its tile's own waits here with its crop; it goes to its classifier once it is final.
    """

    sinks = {"sink": Pad(Caps("cells/routed"))}
    sources = {
        "src": Pad(Caps("cells/delta")),
        "late_rbc": Pad(Caps("image/crops"), request=True),
        "late_wbc": Pad(Caps("image/crops"), request=True),
    }
    runs_on = cpu(threads=1)
    on_error = Policy.FAIL_SLIDE

    iou: float = prop(0.5, doc="overlap above which two views are one cell", ge=0.0, le=1.0)
    held_bytes: int = prop(16 << 20, doc="crops held in memory before a temporary file is used", unit="bytes", ge=0)

    def start(self) -> None:
        """Compile the kernels, or read them from numba's cache."""
        nms = IncrementalNMS()
        for tile in range(2):
            nms.insert(tile, np.array([[0.0, 0.0, 9.0, 9.0]]), np.array([0.5]), np.array([0]))
        nms.close_all()

    def negotiate(self, caps: Caps) -> tuple[Caps, _Counting]:
        """Start the slide's suppression over its plan of tiles."""
        plan = caps.plan
        reach = getattr(plan, "reach", 0.0)
        nms = IncrementalNMS(self.iou, plan=plan if plan.complete else None, reach=reach)
        return caps, _Counting(nms, HeldCrops(self.held_bytes), not plan.complete)

    def process(self, item: Routed, state: _Counting, pad: str = "sink") -> Iterator[tuple[str, Any]]:
        """Insert one tile's views; emit what became counted, retracted or final."""
        cells = item.cells
        if state.growing and item.box is not None:
            state.nms.extend_plan({item.tile: item.box})
        delta = state.nms.insert(
            item.tile, cells.boxes, cells.score, cells.kind, cells.priority, offsets=item.offsets or None
        )
        if item.tile not in state.tables and len(cells):
            state.tables[item.tile] = cells
            state.open_rows[item.tile] = len(cells)
            state.held.hold(item.tile, item.late)
        yield from self._advance(state, delta.added, delta.retracted, {item.tile: "analysed"}, {}, item.removed)

    def gap(self, gap: Gap, state: _Counting) -> Iterator[tuple[str, Any]]:
        """Close tiles that ended otherwise, so that their neighbours' cells become final."""
        tiles = [int(tile) for tile in gap.units]
        for tile in tiles:
            state.nms.close(tile)
        ended = dict.fromkeys(tiles, gap.outcome)
        acquisition = None
        if isinstance(gap, TilesPassed):
            acquisition = gap.acquisition
            if gap.sealed is not None and state.growing:
                state.nms.seal(gap.sealed)
        yield from self._advance(state, NO_KEYS, NO_KEYS, ended, dict.fromkeys(tiles, gap.reason), {}, acquisition)

    def finish(self, state: _Counting) -> Iterator[tuple[str, Any]]:
        """Close what no tile closed; after it nothing is open."""
        state.nms.close_all()
        yield from self._advance(state, NO_KEYS, NO_KEYS, {}, {}, {})

    def close(self, state: _Counting) -> None:
        """Free the held crops."""
        state.held.close()

    def _advance(
        self,
        state: _Counting,
        added: NDArray[np.integer],
        retracted: NDArray[np.integer],
        ended: dict[int, str],
        reasons: dict[int, str],
        removed: Any,
        acquisition: Acquisition | None = None,
    ) -> Iterator[tuple[str, Any]]:
        rows = _rows(state.tables, added)
        kept = state.nms.drain_final()[0].astype(np.int32)
        dropped = state.nms.drain_dropped().astype(np.int32)
        for crops in state.held.release(kept) if len(kept) else ():
            yield f"late_{crops.stream}", crops
        for final in (kept, dropped):
            for tile, count in zip(*np.unique(final[:, 0], return_counts=True), strict=True):
                _free(state, int(tile), int(count))
        planned = tuple(ended) if state.growing else ()
        yield (
            "src",
            CellDelta(
                rows, retracted.astype(np.int32), kept, dropped, ended, reasons, dict(removed), planned, acquisition
            ),
        )


def _rows(tables: dict[int, CellTable], keys: NDArray[np.integer]) -> CellTable:
    """Look up whole rows by (tile, index)."""
    parts = [tables[int(tile)].take(keys[keys[:, 0] == tile, 1]) for tile in np.unique(keys[:, 0])]
    return CellTable.concatenate(parts)


def _free(state: _Counting, tile: int, count: int) -> None:
    state.open_rows[tile] -= count
    if not state.open_rows[tile]:
        del state.open_rows[tile], state.tables[tile]
        state.held.forget(tile)
