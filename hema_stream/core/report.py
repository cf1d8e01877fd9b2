"""report.json: the pydantic model that is its source; the JSON Schema beside this file is generated from it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = Path(__file__).with_name("report.schema.json")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Flag(_Part):
    """Something a person should look at."""

    code: str
    wording: str | None = Field(description="Cautious wording; null for codes that are never shown to a person.")
    n: float = Field(description="The figure that raised it.")
    of: int = Field(description="What the figure was counted on.")


class Summary(_Part):
    """The counts that a person reads first."""

    total_cells: int
    rbc_count: int
    wbc_count: int
    platelet_count: int
    rbc_wbc_ratio: float | None = Field(description="Null without white cells.")
    image_quality: Literal["good", "acceptable", "poor"]


class Share(_Part):
    """A class within its denominator."""

    count: int
    percent: float | None = Field(description="Of the denominator; null where it is 0.")
    ci95: tuple[float, float] | None = Field(
        description="Exact (Clopper-Pearson) 95% limits, percent: counting error only."
    )


class RbcAnalysis(_Part):
    """Morphology of red cells."""

    total: int = Field(description="Red cells counted, clumps and unknown included.")
    classified: int = Field(description="Denominator of distribution and rate: single, classified, not unknown.")
    unknown: int
    in_clumps: int = Field(description="Estimated cells within clumps; not among the classified.")
    distribution: dict[str, Share]
    size_classes: dict[str, int] | None = Field(description="By diameter; null where the scale was not measured.")
    median_diameter_um: float | None
    abnormality_rate: float | None = Field(description="Percent of the classified.")
    flags: list[Flag]


class WbcDifferential(_Part):
    """White cell differential."""

    total: int = Field(description="White cells counted, those beside the differential included.")
    classified: int = Field(description="Denominator: intact, classified, not unknown.")
    unknown: int
    distribution: dict[str, int]
    percentages: dict[str, Share]
    neutrophils_total: Share = Field(description="Segmented and bands together.")
    immature_granulocytes: Share = Field(description="Promyelocytes, myelocytes and metamyelocytes.")
    per_100_wbc: dict[str, float | None] = Field(description="Nucleated red cells and smudge cells.")
    me_ratio: None = Field(default=None, description="Never computed on blood.")
    me_ratio_reason: str
    flags: list[Flag]


class CellDetection(_Part):
    """One counted cell; level-0 pixels."""

    cell_id: str
    key: tuple[int, int] = Field(description="Tile and number within it.")
    type: Literal["rbc", "wbc", "platelet"]
    classification: str | None = Field(description="Null for platelets, clumps and cells whose classification failed.")
    size_class: str | None
    confidence: float | None
    unknown: bool
    detection_score: float
    bbox: tuple[float, float, float, float]
    centroid: tuple[float, float]
    truncated: bool = Field(description="Cut by a tile's edge with no whole view of it.")
    clump: int = Field(description="Estimated cells of a clump; 0 for a single cell.")


class UncertainCase(_Part):
    """A cell for a person to look at."""

    cell_id: str
    type: str
    predicted_class: str | None
    confidence: float | None
    reason: str
    requires_manual_review: bool


class ScaleReport(_Part):
    """The scale and where it comes from."""

    microns_per_pixel: float
    scale_source: Literal["metadata", "given", "estimated", "assumed"]
    note: str | None


class QualityMetrics(_Part):
    """How far the figures can be trusted."""

    avg_confidence: float | None
    stain_quality: Literal["in_range", "out_of_range", "not_measured"]
    stain_note: str | None
    focus_quality: float = Field(description="Median variance of the Laplacian at 0.25 um a pixel.")
    coverage: float | None = Field(description="Share of the tiles with tissue that were analysed.")
    scale: ScaleReport
    clumps: int
    truncated: int
    classified_twice: int
    removed: dict[str, int] = Field(description="Findings taken out, by reason.")
    tiles: dict[str, int] = Field(description="How the planned tiles ended.")
    tile_reasons: dict[str, int]
    warnings: list[str]


class Identity(_Part):
    """What made the figures."""

    software: str
    models: dict[str, str] = Field(description="SHA-256 of each network's weights.")
    configuration: str = Field(description="SHA-256 over pipeline, profile, settings, taxonomies and panels.")
    panel: str
    profile: str


class ReportHead(_Part):
    """Everything but the lists of cells."""

    schema_version: Literal["1"] = "1"
    image_id: str
    status: Literal["complete", "partial"]
    notice: str = "Decision support; review by a qualified person required."
    timestamp: datetime
    processing_time_seconds: float
    summary: Summary
    rbc_analysis: RbcAnalysis
    wbc_differential: WbcDifferential
    quality_metrics: QualityMetrics
    identity: Identity
    deterministic: bool


class Report(ReportHead):
    """report.json, whole."""

    cell_detections: list[CellDetection]
    uncertain_cases: list[UncertainCase]
