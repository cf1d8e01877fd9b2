"""A part of a slide to look at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """A level-0 box (x0, y0, x1, y1) shown as a picture of (width, height) pixels."""

    box: tuple[float, float, float, float]
    size: tuple[int, int]
