"""A laboratory's thresholds and wordings; read from configs/panels."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hema_stream.core.configs import load_config
from hema_stream.core.errors import ConfigError

FLAGS = (
    "blast_detected",
    "possible_leukemia",
    "immature_granulocytes",
    "nrbc_present",
    "smudge_cells",
    "microcytosis_detected",
    "macrocytosis_detected",
    "schistocytes_present",
    "sickle_cells_present",
    "parasite_suspected",
    "platelet_clumps",
    "insufficient_cells",
    "poor_stain",
    "out_of_monolayer",
    "rescan_advised",
)
MEASURED = ("platelet_clumps", "insufficient_cells", "poor_stain", "out_of_monolayer", "rescan_advised")
"""Flags of the film and the picture: no network's class makes them, so that they are never candidates."""


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FlagRule(_Rule):
    """When a flag is raised and what it says, as a flag and as a candidate; who uses which is in ``flags.py``."""

    wording: str
    candidate: str = ""
    least: int = 1
    least_percent: float = 0.0
    least_per_100: float = 0.0
    above_percent: float = 0.0
    of_at_least: int = 0
    below_um: float = 0.0
    above_um: float = 0.0


class DifferentialRule(_Rule):
    """What is counted beside the differential, how many cells are wanted, whether bands stand apart.

    Above the share of unknown cells, 0..1, nothing is graded.
    """

    beside: tuple[str, ...]
    immature: tuple[str, ...]
    wanted: int
    separate_bands: bool = True
    not_gradable_above: float = Field(0.5, ge=0.0, le=1.0)


class MorphologyRule(_Rule):
    """Limits of size classes, microns, how many cells are wanted, and the share of unknown, 0..1, that is too much."""

    microcyte_um: float
    macrocyte_um: float
    wanted: int
    not_gradable_above: float = Field(0.4, ge=0.0, le=1.0)


class ReviewRule(_Rule):
    """Confidence under which a person looks at a cell."""

    confidence: float


class QualityRule(_Rule):
    """Least coverage, 0..1, of a good and of an acceptable picture."""

    good_coverage: float
    acceptable_coverage: float


class FigureRule(_Rule):
    """How a figure of a site's slides is watched.

    ``least_spread`` is the least standard deviation that is believed, in the figure's unit; ``cause`` what it tells of;
    ``above_only`` where only more is worse.
    """

    cause: str
    least_spread: float = Field(gt=0.0)
    above_only: bool = False


class ControlRule(_Rule):
    """Control charts of a site, see ``control.py``.

    ``least`` slides draw limits, ``width`` standard deviations away; ``weight`` is the newest slide's in the moving
    average; ``causes`` says what each means.
    """

    least: int = Field(ge=3)
    width: float = Field(gt=0.0)
    weight: float = Field(gt=0.0, le=1.0)
    figures: dict[str, FigureRule]
    causes: dict[str, str]

    @model_validator(mode="after")
    def _every_cause_has_its_wording(self) -> ControlRule:
        mute = {"network", "elsewhere", *(figure.cause for figure in self.figures.values())} - set(self.causes)
        if mute:
            raise ValueError(f"causes without wording: {', '.join(sorted(mute))}")
        return self


class Telling(_Rule):
    """What is said beside the figures; which names each may hold is in panels/default.yaml."""

    few: str
    unproven: str
    by_error: str
    open: str
    not_gradable: str
    ungraded: str
    one_rule: str
    rules: str
    found: str
    not_found: str
    called: str
    unmeasured: str
    one_laboratory: str
    own: str
    calibrated: str
    not_yet: str
    uncalibrated: str
    changed: str
    expect: str


class Panel(_Rule):
    """Thresholds and wordings of one laboratory."""

    version: str
    differential: DifferentialRule
    morphology: MorphologyRule
    review: ReviewRule
    quality: QualityRule
    flags: dict[str, FlagRule]
    telling: Telling
    control: ControlRule

    @model_validator(mode="after")
    def _every_flag_has_its_rule(self) -> Panel:
        odd = set(self.flags) ^ set(FLAGS)
        if odd:
            raise ValueError(f"flags missing or not known: {', '.join(sorted(odd))}")
        mute = [code for code, rule in self.flags.items() if code not in MEASURED and not rule.candidate]
        if mute:
            raise ValueError(f"flags without the wording of a candidate: {', '.join(sorted(mute))}")
        return self


def load_panel(name: str = "default") -> Panel:
    """Read ``panels/<name>.yaml``.

    Raises:
        ConfigError: there is no such panel, or it is not valid; names the file and the keys.
    """
    file = f"panels/{name}.yaml"
    document: Any = load_config(file)
    try:
        return Panel.model_validate(document)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'panel'}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"not a valid panel: {faults}", place=file, remedy="see panels/default.yaml") from error
