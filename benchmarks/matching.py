"""Comparing what two analyses of the same cells found."""

from __future__ import annotations

import numpy as np
from hema_models.evaluation.detection import box_iou
from scipy.spatial import cKDTree

from hema_stream.cli.evaluate.collected import collect
from hema_stream.core.result import TallyResult
from hema_stream.core.slide import InputImage


def results(
    pipeline: str, inputs: list[InputImage], settings: tuple[str, ...] = (), profile: str = "cpu"
) -> dict[str, TallyResult]:
    """Analyse inputs; each slide's result."""
    collected = collect(pipeline, inputs, profile, settings)
    for name, reason in collected.failed.items():
        raise SystemExit(f"{name}: {reason}")
    return {k: next(item for item in items if isinstance(item, TallyResult)) for k, items in collected.items.items()}


def match(one: np.ndarray, other: np.ndarray, iou: float = 0.5) -> np.ndarray:
    """Pairs (M, 2) of rows of two sets of boxes (N, 4) xyxy, each used once, the largest overlap first."""
    if not len(one) or not len(other):
        return np.zeros((0, 2), np.int64)
    one, other = (np.concatenate([b[:, :2], b[:, 2:] - b[:, :2]], axis=1) for b in (one, other))  # xywh
    centres = [boxes[:, :2] + boxes[:, 2:] / 2 for boxes in (one, other)]
    reach = float(np.median(one[:, 2:]))
    near = cKDTree(centres[0]).query_ball_tree(cKDTree(centres[1]), reach)
    pairs = [
        (float(value), i, j)
        for i, js in enumerate(near)
        if js
        for value, j in zip(box_iou(one[i : i + 1], other[js])[0], js, strict=True)
        if value >= iou
    ]
    used: tuple[set[int], set[int]] = (set(), set())
    kept = []
    for _, i, j in sorted(pairs, reverse=True):
        if i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
            kept.append((i, j))
    return np.array(kept, np.int64).reshape(-1, 2)
