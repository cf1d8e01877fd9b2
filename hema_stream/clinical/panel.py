"""A laboratory's thresholds and wordings; read from configs/panels."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from hema_stream.core.configs import load_config
from hema_stream.core.errors import ConfigError

FLAGS = (
    "blast_detected",
    "possible_leukemia",
    "immature_granulocytes",
    "nrbc_present",
    "microcytosis_detected",
    "macrocytosis_detected",
    "schistocytes_present",
    "parasite_suspected",
    "platelet_clumps",
    "insufficient_cells",
    "poor_stain",
    "out_of_monolayer",
    "rescan_advised",
)


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FlagRule(_Rule):
    """When a flag is raised and what it says; which fields a flag uses is in ``flags.py``."""

    wording: str
    least: int = 1
    least_percent: float = 0.0
    least_per_100: float = 0.0
    above_percent: float = 0.0
    of_at_least: int = 0
    below_um: float = 0.0
    above_um: float = 0.0


class DifferentialRule(_Rule):
    """What is counted beside the differential, how many cells are wanted, whether bands stand apart."""

    beside: tuple[str, ...]
    immature: tuple[str, ...]
    wanted: int
    separate_bands: bool = True


class MorphologyRule(_Rule):
    """Limits of size classes, microns, and how many cells are wanted."""

    microcyte_um: float
    macrocyte_um: float
    wanted: int


class ReviewRule(_Rule):
    """Confidence under which a person looks at a cell."""

    confidence: float


class QualityRule(_Rule):
    """Least coverage, 0..1, of a good and of an acceptable picture."""

    good_coverage: float
    acceptable_coverage: float


class Panel(_Rule):
    """Thresholds and wordings of one laboratory."""

    version: str
    differential: DifferentialRule
    morphology: MorphologyRule
    review: ReviewRule
    quality: QualityRule
    flags: dict[str, FlagRule]

    @model_validator(mode="after")
    def _every_flag_has_its_rule(self) -> Panel:
        odd = set(self.flags) ^ set(FLAGS)
        if odd:
            raise ValueError(f"flags missing or not known: {', '.join(sorted(odd))}")
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
