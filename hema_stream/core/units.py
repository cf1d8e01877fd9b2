"""Scales and lengths shared by every stage."""

from __future__ import annotations

CANONICAL_MPP = 0.25
"""Microns a pixel at which cells are found; there a red cell covers about 700 pixels."""

RED_CELL_DIAMETER_UM = 7.5
"""Median diameter of round red cells on a stained film, by which a missing scale is estimated."""

CONTOUR_UNIT = 0.125
"""One step of a packed contour, in canonical pixels; int16 then spans a millimetre."""
