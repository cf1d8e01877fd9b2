"""Average precision at one IoU on pictures whose cells are not all labelled.

Matching is COCO's (Lin et al., ECCV 2014): within a picture and class, best score first, each prediction takes the
unmatched label of largest IoU at or above the threshold. Beyond COCO: a class is scored only on pictures that label
it whole, and an unmatched prediction counts neither way where half its area or more lies within the union of the
picture's ``ignore`` boxes, or where it touches the frame of a picture whose labels leave cut cells out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CATEGORIES = {1: "rbc", 2: "wbc", 3: "platelet"}
FRAME_LABS = frozenset({"bbbc041"})
MAX_DETECTIONS = 2000


@dataclass(frozen=True, eq=False)
class Matches:
    """Predictions of one class on one picture, best first.

    Attributes:
        scores: (P,) float64; matched: (P,) int64 label row or -1; ignored: (P,) bool.
        labels: how many labels there were.
        predictions: (P,) int64 row of each among the picture's predictions as given.
    """

    scores: NDArray[np.float64]
    matched: NDArray[np.int64]
    ignored: NDArray[np.bool_]
    labels: int
    predictions: NDArray[np.int64]


def box_iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of boxes xywh, (N, 4) and (M, 4) to (N, M)."""
    inter = _intersection(a, b)
    union = (a[:, 2] * a[:, 3])[:, None] + (b[:, 2] * b[:, 3])[None] - inter
    return np.asarray(inter / np.maximum(union, 1e-9))


def _intersection(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    return np.asarray(np.prod(np.clip(high - low, 0, None), axis=2))


def match(
    predicted: NDArray[np.float64],
    scores: NDArray[np.float64],
    labelled: NDArray[np.float64],
    image: Mapping[str, Any],
    iou: float = 0.5,
) -> Matches:
    """Match the predictions (P, 4) xywh of one class on one picture with its labels (L, 4) xywh."""
    order = np.argsort(-scores, kind="stable")[:MAX_DETECTIONS]
    overlaps = box_iou(predicted[order], labelled)
    matched = np.full(len(order), -1, np.int64)
    free = np.ones(len(labelled), bool)
    for row, overlap in enumerate(overlaps):
        candidates = np.where(free, overlap, -1.0)
        if len(candidates) and candidates.max() >= iou:
            matched[row] = candidates.argmax()
            free[matched[row]] = False
    ignored = (matched < 0) & _excused(predicted[order], image)
    return Matches(scores[order], matched, ignored, len(labelled), order)


def _excused(boxes: NDArray[np.float64], image: Mapping[str, Any]) -> NDArray[np.bool_]:
    covered = np.zeros((image["height"], image["width"]), np.int32)
    for x, y, width, height in image.get("ignore", []):
        covered[max(int(y), 0) : int(np.ceil(y + height)), max(int(x), 0) : int(np.ceil(x + width))] = 1
    total = np.pad(covered.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    corners = np.round(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)).astype(int)
    x0, x1 = corners[:, 0].clip(0, image["width"]), corners[:, 2].clip(0, image["width"])
    y0, y1 = corners[:, 1].clip(0, image["height"]), corners[:, 3].clip(0, image["height"])
    inside = total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0]
    excused = inside >= 0.5 * np.maximum((x1 - x0) * (y1 - y0), 1)
    if image.get("lab") in FRAME_LABS:
        edge = np.array([1, 1, image["width"] - 1, image["height"] - 1])
        excused |= (corners[:, :2] <= edge[:2]).any(axis=1) | (corners[:, 2:] >= edge[2:]).any(axis=1)
    return np.asarray(excused)


def average_precision(matches: Sequence[Matches]) -> float:
    """COCO's 101-point interpolated average precision over pooled pictures; NaN where nothing is labelled."""
    labels = sum(m.labels for m in matches)
    if not labels:
        return float("nan")
    scores = np.concatenate([m.scores[~m.ignored] for m in matches])
    hits = np.concatenate([m.matched[~m.ignored] >= 0 for m in matches])
    hits = hits[np.argsort(-scores, kind="mergesort")]
    true, false = np.cumsum(hits), np.cumsum(~hits)
    recall, precision = true / labels, true / np.maximum(true + false, 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(precision, 0.0)[places.clip(max=len(precision))].mean())


def bootstrap_interval(
    matches: Sequence[Matches], draws: int = 200, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the average precision, pictures drawn with replacement."""
    rng = np.random.default_rng(seed)
    values = [
        average_precision([matches[i] for i in rng.integers(0, len(matches), len(matches))]) for _ in range(draws)
    ]
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def working_point(matches: Sequence[Matches], threshold: float) -> dict[str, float]:
    """Precision, recall and mean absolute count error a picture at a score threshold."""
    hits = sum(int(((m.matched >= 0) & (m.scores >= threshold)).sum()) for m in matches)
    counted = [int(((m.scores >= threshold) & ~m.ignored).sum()) for m in matches]
    labels = [m.labels for m in matches]
    return {
        "precision": hits / max(sum(counted), 1),
        "recall": hits / max(sum(labels), 1),
        "mean_absolute_count_error": float(np.mean(np.abs(np.subtract(counted, labels)))) if labels else float("nan"),
    }


def match_all(
    document: Mapping[str, Any], predictions: Iterable[Mapping[str, Any]], images: Iterable[int], iou: float = 0.5
) -> dict[str, dict[int, Matches]]:
    """Match COCO predictions with a COCO document: class name to picture id to matches.

    Only pictures whose ``exhaustive_for`` names the class are scored for it.
    """
    by_image: dict[tuple[int, int], list[Mapping[str, Any]]] = defaultdict(list)
    labels: dict[tuple[int, int], list[Mapping[str, Any]]] = defaultdict(list)
    for prediction in predictions:
        by_image[prediction["image_id"], prediction["category_id"]].append(prediction)
    for annotation in document["annotations"]:
        labels[annotation["image_id"], annotation["category_id"]].append(annotation)
    wanted = set(images)
    out: dict[str, dict[int, Matches]] = {name: {} for name in CATEGORIES.values()}
    for image in document["images"]:
        for category, name in CATEGORIES.items():
            if image["id"] in wanted and name in image.get("exhaustive_for", []):
                found, known = by_image[image["id"], category], labels[image["id"], category]
                scores = np.array([p["score"] for p in found], np.float64)
                out[name][image["id"]] = match(_boxes(found), scores, _boxes(known), image, iou)
    return out


def _boxes(entries: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    return np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
