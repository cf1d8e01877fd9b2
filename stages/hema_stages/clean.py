"""Clean: what cannot be a cell goes, by reason; what is too large for one is a clump."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.cells import CellTable, Kind, Priority
from hema_stream.core.configs import load_config
from hema_stream.core.segmented import Segmented
from hema_stream.flow import Caps, Policy, Transform, cpu, prop


class Clean(Transform[Segmented, Segmented]):
    """Remove findings outside the limits of a cell, counted by reason for the views that this tile owns.

    Shape limits do not apply to edge views, which are cut. What is larger than the largest single cell of its kind
    stays, as a clump with an estimated count.
    """

    accepts = Caps("cells/segmented")
    produces = Caps("cells/segmented")
    runs_on = cpu(threads=1)
    on_error = Policy.GAP

    score: float = prop(0.5, doc="least detection score", ge=0.0, le=1.0)
    min_area: float = prop(50.0, doc="least area of a red or white cell", unit="px", ge=0.0)
    min_area_platelet: float = prop(20.0, doc="least area of a platelet", unit="px", ge=0.0)
    max_area: float = prop(50_000.0, doc="largest area of anything", unit="px", ge=0.0)
    max_aspect: float = prop(5.0, doc="longer over shorter side of the box", ge=1.0)
    min_solidity: float = prop(0.7, doc="area over that of the convex hull", ge=0.0, le=1.0)

    def start(self) -> None:
        """Read the limits by kind."""
        entries = load_config("limits.yaml")["kinds"]
        self._largest = np.array([entries[kind.name.lower()]["largest_cell"] for kind in Kind], np.float32)
        self._typical = np.array([entries[kind.name.lower()]["typical_area"] for kind in Kind], np.float32)

    def process(self, item: Segmented, state: Any) -> Segmented:  # type: ignore[override]
        """Clean one tile's table."""
        cells = item.cells
        reasons = self._reasons(cells)
        removed = Counter(item.removed)
        keep = np.ones(len(cells), bool)
        owned = cells.priority == Priority.OWNED
        for reason, rows in reasons.items():
            removed[reason] += int((rows & keep & owned).sum())
            keep &= ~rows
        kept = cells.take(keep)
        return item.with_cells(kept.with_columns(clump=self._clumps(kept)), {k: v for k, v in removed.items() if v})

    def _reasons(self, cells: CellTable) -> dict[str, NDArray[np.bool_]]:
        sides = cells.boxes[:, 2:] - cells.boxes[:, :2]
        aspect = sides.max(axis=1, initial=0) / np.maximum(sides.min(axis=1, initial=np.inf), 1e-6)
        least = np.where(cells.kind == Kind.PLATELET, self.min_area_platelet, self.min_area)
        whole = cells.priority != Priority.EDGE
        clump = cells.area > self._largest[cells.kind]
        return {
            "low_score": cells.score < self.score,
            "too_small": whole & (cells.area < least),
            "too_large": cells.area > self.max_area,
            "aspect": whole & (aspect > self.max_aspect),
            "solidity": whole & ~clump & (cells.solidity < self.min_solidity),
        }

    def _clumps(self, cells: CellTable) -> NDArray[np.int16]:
        clump = cells.area > self._largest[cells.kind]
        estimate = np.maximum(np.round(cells.area / self._typical[cells.kind]), 2)
        return np.where(clump, estimate, 0).astype(np.int16)
