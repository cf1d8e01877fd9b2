"""Scales and lengths shared by every stage."""

from __future__ import annotations

CANONICAL_MPP = 0.25
"""Microns a pixel at which cells are found; there a red cell covers about 700 pixels."""

LEAST_MPP, MOST_MPP = 0.02, 5.0
"""Microns a pixel that a microscope's camera or a scanner can have; whoever tells a scale is held to it."""

RED_CELL_DIAMETER_UM = 7.5
"""Median diameter of round red cells on a stained film, by which a missing scale is estimated."""

CONTOUR_UNIT = 0.125
"""One step of a packed contour, in canonical pixels; int16 then spans a millimetre."""


def believable_mpp(mpp: float) -> bool:
    """Whether a scale, microns a pixel, can be one; not a number is none."""
    return LEAST_MPP <= mpp <= MOST_MPP
