"""From a segmenter's raw output to the boxes that survive suppression within the tile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hema_stages.segment.kernels import suppress


@dataclass(frozen=True, eq=False)
class Candidates:
    """Detections of one tile, best first.

    Attributes:
        boxes: (N, 4) float32 xyxy, tile pixels, clipped to the tile.
        scores: (N,) float32.
        kinds: (N,) int8.
        coefficients: (N, M) float32 of the mask prototypes.
        capped: how many were left out because the tile held more than the limit.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    kinds: NDArray[np.int8]
    coefficients: NDArray[np.float32]
    capped: int


def select_candidates(
    output: NDArray[np.float32], side: int, min_score: float, iou: float, max_detections: int, kinds: int = 3
) -> Candidates:
    """Threshold, then suppress overlapping boxes whatever their kind.

    Args:
        output: (4 + kinds + M, A) x, y, w, h in pixels, scores, mask coefficients.
        side: tile side in pixels.
        min_score: least score that is looked at.
        iou: overlap above which the lower score goes.
        max_detections: most detections kept; what is beyond is counted in ``capped``, never lost in silence.
    """
    best = output[4 : 4 + kinds].max(axis=0)
    rows = np.flatnonzero(best >= min_score)
    rows = rows[np.argsort(-best[rows], kind="stable")]
    x, y, width, height = output[:4, rows]
    boxes = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1).clip(0, side)
    boxes = np.ascontiguousarray(boxes, np.float32)
    solid = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    kept = solid[suppress(boxes[solid], iou, side)]
    capped = max(len(kept) - max_detections, 0)
    kept = kept[:max_detections]
    chosen = rows[kept]
    return Candidates(
        boxes=boxes[kept],
        scores=best[chosen],
        kinds=output[4 : 4 + kinds, chosen].argmax(axis=0).astype(np.int8),
        coefficients=np.ascontiguousarray(output[4 + kinds :, chosen].T),
        capped=capped,
    )
