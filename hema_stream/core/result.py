"""What the tally knows when a slide ends; every report and export is written from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.calibration import Calibration
from hema_stream.core.cells import CellTable, Kind, Priority
from hema_stream.core.features import CellFeatures
from hema_stream.core.field import Acquisition
from hema_stream.core.field_plan import SlidePlan
from hema_stream.core.naming import Naming
from hema_stream.core.rates import Rates
from hema_stream.core.site_use import SiteUse
from hema_stream.core.slide import Slide
from hema_stream.core.taxonomy import Taxonomy


@dataclass(frozen=True, eq=False)
class TallyResult:
    """A slide's outcome.

    Attributes:
        slide, calibration, plan: as measured.
        cells: the counted ones, in the order of tile and index.
        best: (N,) int16 class in ``taxonomy`` of the cell's stream; -1 where it has none.
        confidence: (N,) float32 of that class; unknown: (N,) bool; lost: (N,) bool, classification failed.
        tiles: number by how they ended; tile_reasons: number by why they were not analysed.
        removed: findings taken out by clean, by reason.
        counts: running counts at the end.
        relabelled: cells that were classified twice.
        status: ``complete`` or ``partial``.
        started, finished: UTC.
        acquisition: what a scan was made of; None for a file, or where it was interrupted.
        naming: what named the cells.
        features: of white cells, where the classifier was told to keep them.
    """

    slide: Slide
    calibration: Calibration
    plan: SlidePlan
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
    acquisition: Acquisition | None = None
    naming: Naming = field(default_factory=Naming)
    features: CellFeatures | None = None

    @property
    def rates(self) -> Mapping[str, Rates]:
        """By stream, how its classes did in laboratories left out of training."""
        return self.naming.rates

    @property
    def site(self) -> SiteUse | None:
        """What the answers were calibrated to; None for no laboratory."""
        return self.naming.site

    def taxonomy(self, stream: str) -> Taxonomy:
        """The classes of a stream, a site's own among them."""
        return self.naming.taxonomy(stream)

    @property
    def nbytes(self) -> int:
        """Bytes it holds in a queue."""
        kept = 0 if self.features is None else self.features.nbytes
        return self.cells.nbytes + 8 * len(self.cells) + kept

    @property
    def single(self) -> NDArray[np.bool_]:
        """(N,) whether a finding is one cell, not a clump."""
        return np.asarray(self.cells.clump == 0)

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """(N,) whether only views cut by a tile's edge were found."""
        return np.asarray(self.cells.priority == Priority.EDGE)

    @property
    def unclassified(self) -> NDArray[np.bool_]:
        """(N,) single red and white cells without a class: it was lost, or the analysis ended before it came."""
        return np.asarray(self.single & (self.best < 0) & (self.cells.kind != Kind.PLATELET))

    @property
    def whole(self) -> NDArray[np.bool_]:
        """(N,) single cells of which nothing is cut off, neither by a tile's edge nor by the picture's."""
        return np.asarray(self.single & ~self.cells.cut((self.slide.width, self.slide.height)))

    @property
    def ungraded(self) -> NDArray[np.bool_]:
        """(N,) single red cells that a border cuts: the shape of a part is not the cell's."""
        return np.asarray(self.single & ~self.whole & (self.cells.kind == Kind.RBC) & (self.best >= 0))

    @property
    def diameters_um(self) -> NDArray[np.float64]:
        """(N,) diameter of the circle of each mask's area, microns."""
        area_um2 = self.cells.area.astype(np.float64) * (self.cells.scale * self.calibration.scale.mpp) ** 2
        return np.asarray(2 * np.sqrt(area_um2 / np.pi))
