"""How much two detections share, by box or by outline, and what the rule of suppression makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Contours = Sequence[NDArray[np.floating]]
METRICS = ("box", "mask")


def check_boxes(boxes: NDArray[np.floating], scores: NDArray[np.floating]) -> Floats:
    """Return boxes (N, 4) as float64; ValueError for NaN, infinite or inverted ones, or scores that do not fit."""
    out = np.ascontiguousarray(np.asarray(boxes, np.float64).reshape(-1, 4))
    if len(scores) != len(out):
        raise ValueError(f"{len(out)} boxes and {len(scores)} scores; each box has one score")
    if not np.isfinite(out).all() or not np.isfinite(scores).all():
        raise ValueError("boxes and scores must be finite; one is NaN or infinite")
    if (out[:, 2] < out[:, 0]).any() or (out[:, 3] < out[:, 1]).any():
        raise ValueError("a box is inverted: x0 <= x1 and y0 <= y1 must hold")
    return out


def box_intersection(a: Floats, b: Floats) -> Floats:
    """Intersection areas of boxes (N, 4) row by row."""
    width = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    height = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    return np.asarray(np.where((width > 0) & (height > 0), width * height, 0.0))


def box_area(boxes: Floats) -> Floats:
    """Areas of boxes (N, 4)."""
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def outline_area(contours: Contours) -> Floats:
    """Areas that outlines enclose; a self-crossing one is mended first."""
    return np.array([polygon.area for polygon in polygons(contours)], np.float64)


def polygons(contours: Contours) -> list[Any]:
    """Build shapely polygons, mended where they cross themselves; fewer than three points enclose nothing."""
    from shapely.geometry import Polygon
    from shapely.validation import make_valid

    made = [Polygon(c) if len(c) >= 3 else Polygon() for c in contours]
    return [p if p.is_valid else make_valid(p) for p in made]


def suppresses(
    inter: Floats,
    better_area: Floats,
    worse_area: Floats,
    better_priority: NDArray[np.integer],
    worse_priority: NDArray[np.integer],
    iou: float,
) -> NDArray[np.bool_]:
    """Whether the better of each pair would suppress the worse: I > iou x U, or the worse is an edge view, the better
    is not, and half of the worse or more is covered."""
    union = better_area + worse_area - inter
    covered = (worse_priority == 0) & (better_priority >= 1) & (worse_area > 0) & (2 * inter >= worse_area)
    return np.asarray((inter > iou * union) | covered)


Intersection = Callable[[NDArray[np.integer], NDArray[np.integer]], Floats]
