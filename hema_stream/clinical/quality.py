"""How far a slide's figures can be trusted, and what they lack."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hema_stream.clinical.acquisition import fields_missing, tiles_of_fields
from hema_stream.clinical.flags import Flags
from hema_stream.clinical.panel import Panel
from hema_stream.core.calibration import StainFit
from hema_stream.core.cells import Kind
from hema_stream.core.report import Flag, Missing, QualityMetrics, ScaleReport, Status
from hema_stream.core.result import TallyResult
from hema_stream.core.slide import ScaleSource

NOTES = {
    ScaleSource.ESTIMATED: "estimated_from_rbc: round red cells were taken as 7.5 um wide; sizes are not reported",
    ScaleSource.ASSUMED: "no scale in the file and too few round red cells to estimate one; sizes are not reported",
}
LOST_TO_FAILURE = (
    "tiles_cancelled",
    "tiles_lost",
    "classification_lost",
    "classification_pending",
    "fields_missing",
    "fields_unreadable",
)


def quality_metrics(result: TallyResult, panel: Panel) -> QualityMetrics:
    """Put together what was measured about the picture and how its tiles and cells ended."""
    named, calibration = result.best >= 0, result.calibration
    return QualityMetrics(
        avg_confidence=round(float(result.confidence[named].mean(dtype=np.float64)), 4) if named.any() else None,
        avg_confidence_of=int(named.sum()),
        stain_quality=stain_quality(calibration.stain),
        stain_note=calibration.stain.reason or None,
        focus_quality=round(calibration.focus, 2),
        focus_threshold=round(calibration.focus_threshold, 2),
        coverage=coverage(result),
        scale=ScaleReport(
            microns_per_pixel=round(calibration.scale.mpp, 5),
            scale_source=calibration.scale.source.value,
            note=NOTES.get(calibration.scale.source),
        ),
        clumps=int((~result.single).sum()),
        truncated=int(result.truncated.sum()),
        classified_twice=result.relabelled,
        removed=dict(sorted(result.removed.items())),
        tiles=dict(result.tiles),
        tile_reasons=dict(sorted(result.tile_reasons.items())),
        flags=quality_flags(result, panel),
        warnings=list(calibration.warnings),
    )


def quality_flags(result: TallyResult, panel: Panel) -> list[Flag]:
    """Flags of stain, focus, overlap and platelet clumps."""
    flags, kind, clump = Flags(panel), result.cells.kind, result.cells.clump
    red, platelets = kind == Kind.RBC, kind == Kind.PLATELET
    overlapping = int(clump[red].sum())
    return [
        *flags.stain(stain_quality(result.calibration.stain) != "out_of_range", result.tiles.get("analysed", 0)),
        *flags.focus(coverage(result), result.tiles.get("rejected", 0), _with_tissue(result)),
        *flags.monolayer(overlapping, overlapping + int((red & result.single).sum())),
        *flags.platelets(int((platelets & ~result.single).sum()), int(platelets.sum())),
    ]


def coverage(result: TallyResult) -> float | None:
    """Share of the tiles with tissue that were analysed, 0..1; None without any."""
    wanted = _with_tissue(result)
    return round(result.tiles.get("analysed", 0) / wanted, 4) if wanted else None


def stain_quality(stain: StainFit) -> Literal["in_range", "out_of_range", "not_measured"]:
    """Say what the fit of a stain is worth."""
    if stain.method == "none" and stain.in_range:
        return "not_measured"
    return "in_range" if stain.in_range else "out_of_range"


def image_quality(quality: QualityMetrics, panel: Panel) -> Literal["good", "acceptable", "poor"]:
    """Sum up coverage, stain and focus in a word."""
    covered = quality.coverage or 0.0
    if covered < panel.quality.acceptable_coverage:
        return "poor"
    flawed = quality.stain_quality == "out_of_range" or "low_focus" in quality.warnings
    return "good" if covered >= panel.quality.good_coverage and not flawed else "acceptable"


def missing(result: TallyResult) -> list[Missing]:
    """Name what the figures lack, with how much of how much."""
    planned, tissue = sum(result.tiles.values()), _with_tissue(result)
    single = int((result.single & (result.cells.kind != Kind.PLATELET)).sum())
    lost, pending = result.unclassified & result.lost, result.unclassified & ~result.lost
    red = int((result.cells.kind == Kind.RBC).sum())
    lost_fields, untaken = tiles_of_fields(result)
    sizes = 0 if result.calibration.scale.source.measured else red
    found = [
        ("tiles_cancelled", "the analysis was interrupted", result.tiles.get("cancelled", 0) - untaken, planned),
        ("tiles_lost", "tiles were lost to a failure", result.tiles.get("gap", 0) - lost_fields, tissue),
        ("tiles_rejected", "tiles were out of focus", result.tiles.get("rejected", 0), tissue),
        ("classification_lost", "the classification of cells failed", int(lost.sum()), single),
        ("classification_pending", "the analysis ended before cells were classified", int(pending.sum()), single),
        ("size_classes", "the scale was not measured", sizes, red),
    ]
    lacks = [Missing(code=code, reason=reason, n=n, of=of) for code, reason, n, of in found if n]
    return [*lacks, *fields_missing(result.acquisition)]


def status(result: TallyResult, lacks: list[Missing]) -> Status:
    """Partial where the analysis was interrupted or something was lost to failure."""
    failed = any(entry.code in LOST_TO_FAILURE for entry in lacks)
    return "partial" if failed or result.status == "partial" else "complete"


def _with_tissue(result: TallyResult) -> int:
    """Tiles with tissue, but for those that a scanner left out on purpose."""
    return sum(result.tiles.values()) - result.tiles.get("background", 0) - tiles_of_fields(result)[1]
