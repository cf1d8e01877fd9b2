"""report.json: the pydantic model that is its source; the JSON Schema beside this file is generated from it.

``python -m hema_stream.core.report`` writes the schema anew; a test holds it fresh. Lists of cells are streamed by
their writer a row at a time, so ``Report`` is for readers and tests; ``ReportHead`` is what is composed.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = Path(__file__).with_name("report.schema.json")
DIALECT = "https://json-schema.org/draft/2020-12/schema"
NOTICE = "Decision support; review by a qualified person required."

Limits = tuple[float, float]
Status = Literal["complete", "partial"]
CellType = Literal["rbc", "wbc", "platelet"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Flag(_Part):
    """Something a person should look at; ``wording`` is what is shown, ``code`` is for programs."""

    code: str = Field(description="Stable code. Never shown to a person: the wording is.")
    wording: str = Field(description="Cautious wording of the laboratory's panel.")
    n: float = Field(description="The figure that raised it: a number of cells, or a median in microns.")
    of: int = Field(
        description="What it was counted on: for a class all single cells that were asked, unknown ones too; "
        "for insufficient_cells the number that is wanted."
    )
    figure: str = Field(description="Both in words: '3 of 212 cells', 'median 9.1 µm of 212 cells'.")
    note: str = Field(description="Why a candidate is no flag; empty for a flag.")
    classes: list[str] = Field(description="Classes whose cells were counted; empty for what no class makes.")


class Missing(_Part):
    """Something that the figures lack."""

    code: str = Field(description="tiles_cancelled, tiles_lost, tiles_rejected, classification_lost, ...")
    reason: str
    n: int = Field(description="How many tiles or cells are concerned.")
    of: int = Field(description="Of how many.")


class Summary(_Part):
    """The counts that a person reads first."""

    total_cells: int = Field(description="Every counted finding: red, white, platelet; a clump counts as one.")
    rbc_count: int = Field(description="Red cells as the segmenter tells them; a clump counts as one.")
    wbc_count: int = Field(description="White cells as the segmenter tells them, those beside the differential too.")
    platelet_count: int = Field(description="Platelets as the segmenter tells them; a clump counts as one.")
    rbc_wbc_ratio: float | None = Field(description="rbc_count over wbc_count; null without white cells.")
    image_quality: Literal["good", "acceptable", "poor"] = Field(
        description="From coverage, stain and focus, by the panel's limits."
    )


class Share(_Part):
    """A count within its denominator."""

    count: int
    of: int = Field(description="The denominator.")
    percent: float | None = Field(description="100 count / of; null where of is 0.")
    ci95: Limits | None = Field(description="Exact (Clopper-Pearson) 95% limits, percent; counting error only.")
    percent_of_all: float | None = Field(
        description="100 count / (of + unknown): unknown cells are in the denominator."
    )
    with_unknown: Limits | None = Field(
        description="Percent of all: lower 95% limit with none of the unknown in it, upper one with all of them; null "
        "without any cell."
    )


class Elsewhere(_Part):
    """What a class is known to do in laboratories left out of training; cells are k of n."""

    false_positive: tuple[int, int] | None = Field(description="Cells of other classes that were called this.")
    recall: tuple[int, int] | None = Field(description="Cells of this class that were called so.")
    laboratories: int = Field(description="In how many laboratories the recall was measured; under 2 it is not proven.")
    text: str = Field(description="The same in words.")


class SiteAlarm(_Part):
    """Something by which a slide is not like those of its site."""

    code: str = Field(description="light, stain, focus, scale, cells, network or elsewhere.")
    text: str = Field(description="The same in words.")


class SiteReport(_Part):
    """The site that the answers were calibrated to."""

    name: str
    version: int
    identity: str = Field(description="SHA-256 of its content.")
    alarms: list[SiteAlarm] = Field(description="By what the slide leaves the site's control limits.")


class RbcAnalysis(_Part):
    """Morphology of red cells; total = classified + unknown + unclassified + cut + clumps."""

    total: int = Field(description="Red findings counted; equals summary.rbc_count.")
    classified: int = Field(description="Denominator of distribution and rate: single, classified, not unknown.")
    gradable: bool = Field(description="Whether few enough cells are unknown; where not, percentages are null.")
    gradable_note: str = Field(description="Why it is not gradable; empty where it is.")
    unknown_rule: str = Field(description="When a cell is unknown, in words.")
    unknown: int = Field(description="Single cells whose confidence is under their class's threshold.")
    unclassified: int = Field(description="Single cells whose classification was lost or never came.")
    cut: int = Field(
        description="Single cells that a border cuts: the shape of a part is not the cell's, and not graded."
    )
    clumps: int = Field(description="Findings over a cell's largest area.")
    in_clumps: int = Field(description="Estimate, from area, of the cells within the clumps.")
    distribution: dict[str, Share]
    abnormality_rate: float | None = Field(description="Percent of the classified; null where there are none.")
    abnormal: Share = Field(description="The same rate as a count with its limits.")
    sized: int | None = Field(
        description="Single cells seen whole, on which sizes are counted; null where the scale was not measured."
    )
    size_classes: dict[str, int] | None = Field(description="By diameter, of the sized; null as above.")
    median_diameter_um: float | None = Field(description="Of the sized: circle of the mask's area; null as above.")
    flags: list[Flag] = Field(description="More than the network's errors elsewhere explain.")
    candidates: list[Flag] = Field(description="Less than that: for the eye, never an alarm.")
    elsewhere: dict[str, Elsewhere] = Field(description="Of every class that the network can name.")


class WbcDifferential(_Part):
    """White cell differential; total = classified + beside + unknown + unclassified + clumps."""

    total: int = Field(description="White findings counted; equals summary.wbc_count.")
    classified: int = Field(description="Denominator of percentages: intact, classified, not unknown.")
    gradable: bool = Field(description="Whether few enough cells are unknown; where not, percentages are null.")
    gradable_note: str = Field(description="Why it is not gradable; empty where it is.")
    unknown_rule: str = Field(description="When a cell is unknown, in words.")
    beside: int = Field(description="Classified, but out of the denominator: nucleated red cells and smudge cells.")
    unknown: int = Field(description="Cells whose confidence is under their class's threshold.")
    unclassified: int = Field(description="Cells whose classification was lost or never came.")
    clumps: int = Field(description="Findings over a cell's largest area.")
    distribution: dict[str, int] = Field(description="Classified cells by class, those beside included.")
    percentages: dict[str, Share]
    neutrophils_total: Share = Field(description="Segmented and bands together.")
    immature_granulocytes: Share = Field(description="Promyelocytes, myelocytes, metamyelocytes; no bands or blasts.")
    per_100_wbc: dict[str, float | None] = Field(
        description="Nucleated red cells and smudge cells for every 100 of the classified; null where there are none."
    )
    me_ratio: None = Field(description="Never computed on blood.")
    me_ratio_reason: str
    flags: list[Flag] = Field(description="More than the network's errors elsewhere explain.")
    candidates: list[Flag] = Field(description="Less than that: for the eye, never an alarm.")
    elsewhere: dict[str, Elsewhere] = Field(description="Of every class that the network can name.")


class CellDetection(_Part):
    """One counted cell; level-0 pixels."""

    cell_id: str = Field(description="By place in this list, which follows the key.")
    key: tuple[int, int] = Field(description="Tile and number within it.")
    type: CellType
    classification: str | None = Field(
        description="Best class, named for unknown cells too; null for platelets, clumps and cells not classified."
    )
    size_class: Literal["microcytic", "normocytic", "macrocytic"] | None = Field(
        description="Of single red cells seen whole, by diameter; null where the scale was not measured."
    )
    confidence: float | None = Field(description="Calibrated probability of the best class; null without a class.")
    unknown: bool = Field(description="Confidence under the class's threshold: out of percentages, to review.")
    detection_score: float
    bbox: tuple[float, float, float, float] = Field(description="x1, y1, x2, y2.")
    centroid: tuple[float, float] = Field(description="x, y of the mask.")
    truncated: bool = Field(description="Cut by a tile's edge with no whole view of it.")
    clump: int = Field(description="Estimated cells of a clump; 0 for a single cell.")


class UncertainCase(_Part):
    """A cell for a person to look at."""

    cell_id: str
    type: CellType
    predicted_class: str | None
    confidence: float | None
    reason: str
    requires_manual_review: bool = Field(description="Unknown, not classified, or a white cell.")


class ScaleReport(_Part):
    """The scale and where it comes from."""

    microns_per_pixel: float = Field(description="Of level 0.")
    scale_source: Literal["metadata", "given", "estimated", "assumed"]
    note: str | None = Field(description="What an unmeasured scale means for the figures.")


class QualityMetrics(_Part):
    """How far the figures can be trusted."""

    avg_confidence: float | None = Field(description="Mean over the cells with a class, unknown ones included.")
    avg_confidence_of: int = Field(description="How many these are.")
    stain_quality: Literal["in_range", "out_of_range", "not_measured"]
    stain_note: str | None
    focus_quality: float = Field(description="Median variance of the Laplacian of sampled tissue, 0.25 um a pixel.")
    focus_threshold: float = Field(description="Tiles under this were rejected.")
    coverage: float | None = Field(description="Share of the tiles with tissue that were analysed; null without any.")
    scale: ScaleReport
    clumps: int = Field(description="Findings of any kind over a cell's largest area.")
    truncated: int = Field(description="Counted cells without a whole view; two of one object may count twice.")
    classified_twice: int = Field(description="Labels that came for a cell that had one; the first stands.")
    removed: dict[str, int] = Field(description="Findings taken out, by reason.")
    tiles: dict[str, int] = Field(description="How the planned tiles ended.")
    tile_reasons: dict[str, int] = Field(description="Why tiles were not analysed or cells not classified.")
    flags: list[Flag] = Field(description="What the film or the picture is not suitable for.")
    warnings: list[str] = Field(description="Codes of validation and calibration.")


class AcquisitionReport(_Part):
    """What a scan was made of; numbers are the scanner's own."""

    fields: int = Field(description="Fields that the scan has: its grid's, or as told at the close.")
    received: int = Field(description="Of these, how many came and could be read.")
    missing: list[int] = Field(description="Fields that never came.")
    unreadable: list[int] = Field(description="Fields that came and could not be decoded.")
    not_taken: list[int] = Field(description="Fields of the grid that the scanner left out by closing early.")
    calibrated_on: list[int] = Field(description="Fields that stain and scale were fitted on.")
    calibration_settled: bool = Field(
        description="Whether these are the lowest that there were; false where the window was full before."
    )
    pairs_measured: int = Field(description="Neighbouring fields whose offset was measured and used.")
    pairs_refused: int = Field(description="Neighbouring fields whose offset was over the limit; cells may be twice.")
    pairs_unclear: int = Field(description="Neighbouring fields that show too little alike to be measured.")
    widest_offset_um: float = Field(description="The largest offset that was used.")


class Identity(_Part):
    """What made the figures."""

    software: str
    models: dict[str, str] = Field(description="SHA-256 of each network's weights.")
    configuration: str = Field(description="SHA-256 over pipeline, profile, settings, taxonomies and panels.")
    panel: str
    profile: str


class ReportHead(_Part):
    """Everything but the lists of cells."""

    schema_version: Literal["1"]
    image_id: str
    status: Status = Field(description="Partial where the analysis was interrupted or something was lost to failure.")
    missing: list[Missing] = Field(description="What the figures lack, also where they are complete.")
    notice: str
    timestamp: datetime = Field(description="End of the analysis, UTC.")
    processing_time_seconds: float = Field(description="From the slide's calibration to its last cell.")
    summary: Summary
    rbc_analysis: RbcAnalysis
    wbc_differential: WbcDifferential
    quality_metrics: QualityMetrics
    acquisition: AcquisitionReport | None = Field(
        description="Of a slide that came field by field; null for a file, and where the scan was interrupted."
    )
    site: SiteReport | None = Field(description="What the answers were calibrated to; null for no laboratory.")
    calibration_note: str = Field(description="The same in words, with what to expect.")
    identity: Identity
    deterministic: bool = Field(description="Whether the same input, models and configuration give the same report.")


class Report(ReportHead):
    """report.json, whole."""

    model_config = ConfigDict(json_schema_extra={"$schema": DIALECT})

    cell_detections: list[CellDetection] = Field(description="Every counted cell once, by tile and number.")
    uncertain_cases: list[UncertainCase] = Field(description="Low confidence, unknown, truncated or not classified.")


def schema_text() -> str:
    """Generate the JSON Schema (draft 2020-12) of report.json as it is written."""
    return json.dumps(Report.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")
