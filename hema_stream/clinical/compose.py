"""From a slide's result to the head of report.json: every figure; the lists of cells are in ``rows.py``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stream.clinical import rows
from hema_stream.clinical.acquisition import acquisition
from hema_stream.clinical.differential import differential
from hema_stream.clinical.morphology import morphology
from hema_stream.clinical.panel import Panel
from hema_stream.clinical.quality import image_quality, missing, quality_metrics, status
from hema_stream.clinical.telling import calibration_note, site_report
from hema_stream.core.cells import Kind
from hema_stream.core.report import (
    NOTICE,
    Identity,
    QualityMetrics,
    RbcAnalysis,
    ReportHead,
    SiteAlarm,
    Summary,
    WbcDifferential,
)
from hema_stream.core.result import TallyResult


@dataclass(frozen=True)
class Composer:
    """Writes reports of one configuration.

    Attributes:
        panel: thresholds and wordings.
        identity: software and configuration; the models are the result's.
        deterministic: whether the same input gives the same report.
    """

    panel: Panel
    identity: Identity
    deterministic: bool

    def head(self, result: TallyResult, alarms: Sequence[SiteAlarm] = ()) -> ReportHead:
        """Compose everything but the lists of cells; by the alarms the slide is not like those of its site."""
        quality, lacks = quality_metrics(result, self.panel), missing(result)
        return ReportHead(
            schema_version="1",
            notice=NOTICE,
            image_id=result.slide.id,
            status=status(result, lacks),
            missing=lacks,
            timestamp=result.finished,
            processing_time_seconds=round((result.finished - result.started).total_seconds(), 3),
            summary=self._summary(result, quality),
            rbc_analysis=self._red(result),
            wbc_differential=self._white(result),
            quality_metrics=quality,
            acquisition=acquisition(result.acquisition),
            site=site_report(result.site, alarms),
            calibration_note=calibration_note(self.panel, result.site, alarms),
            identity=self.identity.model_copy(update={"models": dict(sorted(result.models.items()))}),
            deterministic=self.deterministic,
        )

    def detections(self, result: TallyResult) -> Iterator[dict[str, Any]]:
        """Walk the rows of ``cell_detections``."""
        return rows.detections(result, self.panel)

    def uncertain(self, result: TallyResult) -> Iterator[dict[str, Any]]:
        """Walk the rows of ``uncertain_cases``."""
        return rows.uncertain(result, self.panel)

    def _summary(self, result: TallyResult, quality: QualityMetrics) -> Summary:
        red, white, platelets = (int((result.cells.kind == kind).sum()) for kind in Kind)
        return Summary(
            total_cells=len(result.cells),
            rbc_count=red,
            wbc_count=white,
            platelet_count=platelets,
            rbc_wbc_ratio=round(red / white, 2) if white else None,
            image_quality=image_quality(quality, self.panel),
        )

    def _red(self, result: TallyResult) -> RbcAnalysis:
        red = result.cells.kind == Kind.RBC
        measured = result.calibration.scale.source.measured
        return morphology(
            counts=class_counts(result, red, "rbc"),
            total=int(red.sum()),
            unknown=_unknown(result, red),
            unclassified=int((red & result.unclassified).sum()),
            cut=int(result.ungraded.sum()),
            clumps=int((red & ~result.single).sum()),
            in_clumps=int(result.cells.clump[red].sum()),
            diameters=result.diameters_um[red & result.whole] if measured else None,
            panel=self.panel,
            naming=result.naming,
        )

    def _white(self, result: TallyResult) -> WbcDifferential:
        white = result.cells.kind == Kind.WBC
        return differential(
            class_counts(result, white, "wbc"),
            total=int(white.sum()),
            unknown=_unknown(result, white),
            unclassified=int((white & result.unclassified).sum()),
            clumps=int((white & ~result.single).sum()),
            panel=self.panel,
            naming=result.naming,
        )


def class_counts(result: TallyResult, chosen: NDArray[np.bool_], stream: str) -> dict[str, int]:
    """Count the classes of the chosen single cells, unknown ones left out, in the taxonomy's order."""
    taxonomy = result.taxonomy(stream)
    best = result.best[chosen & result.single & ~result.ungraded & ~result.unknown & (result.best >= 0)]
    counts = np.bincount(best, minlength=len(taxonomy.names)).tolist()
    return {name: count for name, count in zip(taxonomy.names, counts, strict=True) if count}


def _unknown(result: TallyResult, chosen: NDArray[np.bool_]) -> int:
    return int((chosen & result.single & ~result.ungraded & result.unknown & (result.best >= 0)).sum())
