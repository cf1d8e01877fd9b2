"""From a slide's result to report.json: a head of figures, then one row a cell, streamed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hema_stream.clinical.differential import differential
from hema_stream.clinical.morphology import SIZE_CLASSES, morphology, size_classes
from hema_stream.clinical.panel import Panel
from hema_stream.core.calibration import StainFit
from hema_stream.core.cells import CellTable, Kind, Priority
from hema_stream.core.report import (
    Identity,
    QualityMetrics,
    RbcAnalysis,
    ReportHead,
    ScaleReport,
    Summary,
    WbcDifferential,
)
from hema_stream.core.result import TallyResult
from hema_stream.core.slide import ScaleSource
from hema_stream.core.taxonomy import Taxonomy, load_taxonomy

NOTES = {
    ScaleSource.ESTIMATED: "estimated_from_rbc: round red cells were taken as 7.5 um wide; sizes are not reported",
    ScaleSource.ASSUMED: "no scale in the file and too few round red cells to estimate one; sizes are not reported",
}
GOOD_COVERAGE, ACCEPTABLE_COVERAGE = 0.95, 0.7


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

    def head(self, result: TallyResult) -> ReportHead:
        """Compose everything but the lists of cells."""
        red, white = self._red(result), self._white(result)
        kinds = {kind: int((result.cells.kind == kind).sum()) for kind in Kind}
        quality = self._quality(result)
        return ReportHead(
            image_id=result.slide.id,
            status="partial" if result.status == "partial" else "complete",
            timestamp=result.finished,
            processing_time_seconds=round((result.finished - result.started).total_seconds(), 3),
            summary=Summary(
                total_cells=len(result.cells),
                rbc_count=kinds[Kind.RBC],
                wbc_count=kinds[Kind.WBC],
                platelet_count=kinds[Kind.PLATELET],
                rbc_wbc_ratio=round(kinds[Kind.RBC] / kinds[Kind.WBC], 2) if kinds[Kind.WBC] else None,
                image_quality=image_quality(quality),
            ),
            rbc_analysis=red,
            wbc_differential=white,
            quality_metrics=quality,
            identity=self.identity.model_copy(update={"models": dict(sorted(result.models.items()))}),
            deterministic=self.deterministic,
        )

    def _red(self, result: TallyResult) -> RbcAnalysis:
        cells, taxonomy = result.cells, load_taxonomy("rbc")
        red = cells.kind == Kind.RBC
        single = red & (cells.clump == 0)
        measured = result.calibration.scale.source.measured
        whole = single & (cells.priority != Priority.EDGE)
        return morphology(
            counts=class_counts(result, single, taxonomy),
            abnormal=frozenset(c.name for c in taxonomy.classes if c.abnormal),
            total=int(red.sum()),
            unknown=int((single & result.unknown).sum()),
            in_clumps=int(cells.clump[red].sum()),
            diameters=result.diameters_um[whole] if measured else None,
            panel=self.panel,
        )

    def _white(self, result: TallyResult) -> WbcDifferential:
        white = result.cells.kind == Kind.WBC
        counts = class_counts(result, white & (result.cells.clump == 0), load_taxonomy("wbc"))
        return differential(counts, int(white.sum()), int((white & result.unknown).sum()), self.panel)

    def _quality(self, result: TallyResult) -> QualityMetrics:
        named = result.best >= 0
        scale, stain = result.calibration.scale, result.calibration.stain
        wanted = sum(result.tiles.values()) - result.tiles.get("background", 0)
        return QualityMetrics(
            avg_confidence=round(float(result.confidence[named].mean()), 4) if named.any() else None,
            stain_quality=stain_quality(stain),
            stain_note=stain.reason or None,
            focus_quality=round(result.calibration.focus, 2),
            coverage=round(result.tiles.get("analysed", 0) / wanted, 4) if wanted else None,
            scale=ScaleReport(
                microns_per_pixel=round(scale.mpp, 5),
                scale_source=scale.source.value,
                note=NOTES.get(scale.source),
            ),
            clumps=int((result.cells.clump > 0).sum()),
            truncated=int((result.cells.priority == Priority.EDGE).sum()),
            classified_twice=result.relabelled,
            removed=dict(sorted(result.removed.items())),
            tiles=dict(result.tiles),
            tile_reasons=dict(sorted(result.tile_reasons.items())),
            warnings=list(result.calibration.warnings),
        )

    def detections(self, result: TallyResult) -> Iterator[dict[str, Any]]:
        """Walk the rows of ``cell_detections``, in the order of tile and number."""
        cells = result.cells
        names, sizes = class_names(result), self._size_names(result)
        columns = zip(
            cells.tile.tolist(),
            cells.index.tolist(),
            cells.kind.tolist(),
            np.round(result.confidence.astype(np.float64), 4).tolist(),
            result.unknown.tolist(),
            np.round(cells.score.astype(np.float64), 4).tolist(),
            np.round(cells.boxes, 2).tolist(),
            np.round(cells.centroid, 2).tolist(),
            (cells.priority == Priority.EDGE).tolist(),
            cells.clump.tolist(),
            strict=True,
        )
        for row, (tile, index, kind, confidence, unknown, score, box, centroid, truncated, clump) in enumerate(columns):
            yield {
                "cell_id": cell_id(row),
                "key": [tile, index],
                "type": KIND_NAMES[kind],
                "classification": names[row],
                "size_class": sizes[row],
                "confidence": confidence if names[row] else None,
                "unknown": unknown,
                "detection_score": score,
                "bbox": box,
                "centroid": centroid,
                "truncated": truncated,
                "clump": clump,
            }

    def uncertain(self, result: TallyResult) -> Iterator[dict[str, Any]]:
        """Walk the rows of ``uncertain_cases``."""
        limit = self.panel.review.confidence
        cells, names = result.cells, class_names(result)
        named = result.best >= 0
        truncated = cells.priority == Priority.EDGE
        chosen = (named & (result.confidence < limit)) | result.unknown | truncated | result.lost
        for row in np.flatnonzero(chosen):
            reasons = {
                "classification failed": bool(result.lost[row]),
                "unknown: confidence under the class's threshold": bool(result.unknown[row]),
                f"confidence below {limit}": bool(named[row] and result.confidence[row] < limit),
                "truncated: no whole view": bool(truncated[row]),
            }
            yield {
                "cell_id": cell_id(int(row)),
                "type": KIND_NAMES[int(cells.kind[row])],
                "predicted_class": names[row],
                "confidence": round(float(result.confidence[row]), 4) if names[row] else None,
                "reason": "; ".join(reason for reason, holds in reasons.items() if holds),
                "requires_manual_review": bool(result.unknown[row] or result.lost[row] or cells.kind[row] == Kind.WBC),
            }

    def _size_names(self, result: TallyResult) -> list[str | None]:
        cells = result.cells
        if not result.calibration.scale.source.measured:
            return [None] * len(cells)
        sized = (cells.kind == Kind.RBC) & (cells.clump == 0) & (cells.priority != Priority.EDGE)
        sizes = size_classes(result.diameters_um, self.panel)
        return [SIZE_CLASSES[s] if own else None for s, own in zip(sizes.tolist(), sized.tolist(), strict=True)]


def stain_quality(stain: StainFit) -> Literal["in_range", "out_of_range", "not_measured"]:
    """Say what the fit of a stain is worth."""
    if stain.method == "none":
        return "not_measured"
    return "in_range" if stain.in_range else "out_of_range"


KIND_NAMES = {int(kind): kind.name.lower() for kind in Kind}


def cell_id(row: int) -> str:
    """Name a cell by its place in the report, which follows tile and number, never arrival."""
    return f"c{row + 1:06d}"


def class_names(result: TallyResult) -> list[str | None]:
    """Class of each cell; None where it has none."""
    tables = {int(Kind.RBC): load_taxonomy("rbc").names, int(Kind.WBC): load_taxonomy("wbc").names}
    return [
        tables[kind][best] if best >= 0 and kind in tables else None
        for kind, best in zip(result.cells.kind.tolist(), result.best.tolist(), strict=True)
    ]


def class_counts(result: TallyResult, rows: NDArray[np.bool_], taxonomy: Taxonomy) -> dict[str, int]:
    """Count the classes of chosen cells, unknown ones left out, in the taxonomy's order."""
    best = result.best[rows & ~result.unknown & (result.best >= 0)]
    found = Counter(best.tolist())
    return {name: found[position] for position, name in enumerate(taxonomy.names) if found[position]}


def image_quality(quality: QualityMetrics) -> Literal["good", "acceptable", "poor"]:
    """Sum up coverage, stain and focus in a word."""
    coverage = quality.coverage if quality.coverage is not None else 0.0
    flawed = quality.stain_quality == "out_of_range" or "low_focus" in quality.warnings
    if coverage < ACCEPTABLE_COVERAGE:
        return "poor"
    return "good" if coverage >= GOOD_COVERAGE and not flawed else "acceptable"


def colours(cells: CellTable, best: NDArray[np.int16], unknown: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(N, 3) colour of each cell: its class's, grey where unknown, yellow for platelets."""
    out = np.full((len(cells), 3), UNKNOWN_COLOUR, np.uint8)
    for stream, kind in (("rbc", Kind.RBC), ("wbc", Kind.WBC)):
        table = np.array([c.colour for c in load_taxonomy(stream).classes], np.uint8)
        rows = (cells.kind == kind) & (best >= 0) & ~unknown
        out[rows] = table[best[rows]]
    out[cells.kind == Kind.PLATELET] = PLATELET_COLOUR
    return out


UNKNOWN_COLOUR = (90, 90, 90)
PLATELET_COLOUR = (230, 160, 0)


def legend(counts: Mapping[str, int]) -> list[tuple[str, tuple[int, int, int], bool, int]]:
    """Rows of a legend: title, colour, whether abnormal, count; white cells first, most frequent first."""
    rows: list[tuple[str, tuple[int, int, int], bool, int]] = []
    for stream in ("wbc", "rbc"):
        own = [
            (c.title, c.colour, c.abnormal, counts.get(f"{stream}/{c.name}", 0)) for c in load_taxonomy(stream).classes
        ]
        rows += sorted((row for row in own if row[3]), key=lambda row: -row[3])
    unknown = counts.get("rbc/unknown", 0) + counts.get("wbc/unknown", 0)
    extra = [
        ("Platelet", PLATELET_COLOUR, False, counts.get("platelet", 0)),
        ("Unknown", UNKNOWN_COLOUR, False, unknown),
    ]
    return rows + [row for row in extra if row[3]]
