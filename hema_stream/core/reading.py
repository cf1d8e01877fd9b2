"""Figures of one slide by which a site is watched over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Reading:
    """One slide's figures.

    Attributes:
        slide: its id; at: UTC, when it ended.
        networks: identities of the weights, by stage.
        figures: by name, see ``clinical/control.py``; what could not be measured is not in it.
    """

    slide: str
    at: datetime
    networks: Mapping[str, str]
    figures: Mapping[str, float]
