"""A laboratory's thresholds and wordings; read from configs/panels."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from hema_stream.core.configs import load_config


class FlagRule(BaseModel):
    """When a flag is raised and what it says; which fields a flag uses is in ``flags.py``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wording: str
    least: int = 1
    least_percent: float = 0.0
    least_per_100: float = 0.0
    above_percent: float = 0.0
    of_at_least: int = 0
    below_um: float = 0.0
    above_um: float = 0.0


class DifferentialRule(BaseModel):
    """What is counted beside the differential, and how many cells are wanted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    beside: tuple[str, ...]
    immature: tuple[str, ...]
    wanted: int


class MorphologyRule(BaseModel):
    """Limits of size classes, and how many cells are wanted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    microcyte_um: float
    macrocyte_um: float
    wanted: int


class ReviewRule(BaseModel):
    """Confidence under which a person looks at a cell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    confidence: float


class Panel(BaseModel):
    """Thresholds and wordings of one laboratory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    differential: DifferentialRule
    morphology: MorphologyRule
    review: ReviewRule
    flags: dict[str, FlagRule]


def load_panel(name: str = "default") -> Panel:
    """Read ``panels/<name>.yaml``."""
    document: Any = load_config(f"panels/{name}.yaml")
    return Panel.model_validate(document)
