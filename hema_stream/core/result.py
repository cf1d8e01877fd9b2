"""What the tally knows when a slide ends; every report and export is written from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.calibration import Calibration
from hema_stream.core.cells import CellTable
from hema_stream.core.slide import Slide
from hema_stream.core.tile import TilePlan


@dataclass(frozen=True, eq=False)
class TallyResult:
    """A slide's outcome.

    Attributes:
        slide, calibration, plan: as measured.
        cells: the counted ones, in the order of tile and index.
        best: (N,) int16 class in the taxonomy of the cell's stream; -1 where it has none.
        confidence: (N,) float32 of that class; unknown: (N,) bool; lost: (N,) bool, classification failed.
        tiles: number by how they ended; tile_reasons: number by why they were not analysed.
        removed: findings taken out by clean, by reason.
        counts: running counts at the end.
        relabelled: cells that were classified twice.
        status: ``complete`` or ``partial``.
        started, finished: UTC.
    """

    slide: Slide
    calibration: Calibration
    plan: TilePlan
    cells: CellTable
    best: NDArray[np.int16]
    confidence: NDArray[np.float32]
    unknown: NDArray[np.bool_]
    lost: NDArray[np.bool_]
    tiles: Mapping[str, int]
    tile_reasons: Mapping[str, int]
    removed: Mapping[str, int]
    counts: Mapping[str, int]
    relabelled: int
    status: str
    started: datetime
    finished: datetime
    models: Mapping[str, str] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes it holds in a queue."""
        return self.cells.nbytes + 8 * len(self.cells)

    @property
    def diameters_um(self) -> NDArray[np.float64]:
        """(N,) diameter of the circle of each mask's area, microns."""
        area_um2 = self.cells.area * (self.cells.scale * self.calibration.scale.mpp) ** 2
        return np.asarray(np.sqrt(4 * area_um2 / np.pi), np.float64)
