"""Greedy, class-agnostic suppression over all detections of a slide at once: the truth that streaming must equal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hema_stages.aggregate.overlap import (
    METRICS,
    Contours,
    Floats,
    box_area,
    box_intersection,
    check_boxes,
    outline_area,
    polygons,
    suppresses,
)
from hema_stages.aggregate.pairs import PairIndex


def ranking(priority: NDArray[np.integer], scores: NDArray[np.float32], ids: NDArray[np.integer]) -> NDArray[np.intp]:
    """Order rows best first: priority and score descending, then tile and index ascending."""
    return np.lexsort((ids[:, 1], ids[:, 0], -scores.astype(np.float32), -priority.astype(np.int64)))


def batch_nms(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    classes: NDArray[np.integer],
    ids: NDArray[np.integer],
    iou: float = 0.5,
    metric: str = "box",
    priority: NDArray[np.integer] | None = None,
    contours: Contours | None = None,
) -> NDArray[np.int64]:
    """Keep each detection unless a kept better one suppresses it.

    Better is: priority descending, score descending (float32), then (tile, index) ascending. A kept K suppresses D
    where I > iou x U, or where D has priority 0, K at least 1, area(D) > 0 and 2 I >= area(D).

    Args:
        boxes: (N, 4) xyxy; scores: (N,); classes: (N,), which play no part; ids: (N, 2) of tile and index.
        metric: ``box``, or ``mask`` for the areas that ``contours`` enclose.
        priority: (N,) integers 0, 1, 2; all 1 where none is given.

    Returns:
        Rows kept, best first.

    Raises:
        ValueError: NaN or inverted boxes, an unknown metric, or outlines missing for ``mask``.
    """
    checked = check_boxes(boxes, scores)
    ranks = np.ones(len(checked), np.int64) if priority is None else np.asarray(priority, np.int64)
    order = ranking(ranks, np.asarray(scores, np.float32), np.asarray(ids).reshape(-1, 2))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    index = PairIndex()
    index.add(checked, np.arange(len(checked)))
    a, b = index.near(checked, checked, 0.0)
    better = place[a] < place[b]
    a, b = a[better], b[better]
    areas, inter = _areas(checked, metric, contours, a, b)
    hit = suppresses(inter, areas[a], areas[b], ranks[a], ranks[b], iou)
    return _greedy(order, a[hit], b[hit])


def _areas(
    boxes: Floats, metric: str, contours: Contours | None, a: NDArray[np.int64], b: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r} is not one of {', '.join(METRICS)}")
    if metric == "box":
        return box_area(boxes), box_intersection(boxes[a], boxes[b])
    if contours is None or len(contours) != len(boxes):
        raise ValueError("metric 'mask' needs an outline for every box")
    shapes = polygons(contours)
    inter = np.array([shapes[i].intersection(shapes[j]).area for i, j in zip(a, b, strict=True)])  # type: ignore[attr-defined]
    return outline_area(contours), inter.reshape(-1)


def _greedy(order: NDArray[np.intp], a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Walk best first; each kept row strikes out those that it suppresses."""
    by_better = np.argsort(a, kind="stable")
    a, b = a[by_better], b[by_better]
    starts = np.searchsorted(a, np.arange(len(order) + 1))
    alive = np.ones(len(order), bool)
    kept = []
    for row in order:
        if alive[row]:
            kept.append(row)
            alive[b[starts[row] : starts[row + 1]]] = False
    return np.array(kept, np.int64)
