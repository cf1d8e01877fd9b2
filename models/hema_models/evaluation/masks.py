"""Mean IoU of matched masks, beside that of the predicted box's ellipse."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_models.evaluation.detection import CATEGORIES, match

Scores = dict[tuple[str, str, str], tuple[int, float, float]]


def mean_mask_iou(
    document: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    lab_of: Mapping[int, str],
    threshold: float,
) -> Scores:
    """Compare masks of cells matched at box IoU 0.5 and a score at or above ``threshold``.

    Returns:
        (class, laboratory, origin of the labelled mask) to (cells, mean IoU of the mask, mean IoU of the ellipse
        inscribed in the predicted box). Origin is the published set's name, ``hand`` or ``derived``.
    """
    found: dict[tuple[int, int], list[Mapping[str, Any]]] = defaultdict(list)
    known: dict[tuple[int, int], list[Mapping[str, Any]]] = defaultdict(list)
    for prediction in predictions:
        if prediction["score"] >= threshold:
            found[prediction["image_id"], prediction["category_id"]].append(prediction)
    for annotation in document["annotations"]:
        known[annotation["image_id"], annotation["category_id"]].append(annotation)
    ious: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    for image in document["images"]:
        if image["id"] not in lab_of:
            continue
        for category, name in CATEGORIES.items():
            key = (image["id"], category)
            for prediction, annotation in _pairs(found[key], known[key], image):
                if annotation.get("segmentation"):
                    origin = annotation.get("mask_source") or annotation["mask_origin"]
                    ious[name, lab_of[image["id"]], origin].append(_compare(prediction, annotation, image))
    return {
        key: (len(values), *(float(v) for v in np.mean(values, axis=0)))  # type: ignore[misc]
        for key, values in sorted(ious.items())
    }


def _pairs(
    found: Collection[Mapping[str, Any]], known: Collection[Mapping[str, Any]], image: Mapping[str, Any]
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    found, known = list(found), list(known)
    boxes = np.array([p["bbox"] for p in found], np.float64).reshape(-1, 4)
    labels = np.array([a["bbox"] for a in known], np.float64).reshape(-1, 4)
    matches = match(boxes, np.array([p["score"] for p in found], np.float64), labels, image)
    return [
        (found[row], known[label])
        for row, label in zip(matches.predictions, matches.matched, strict=True)
        if label >= 0
    ]


def _compare(
    prediction: Mapping[str, Any], annotation: Mapping[str, Any], image: Mapping[str, Any]
) -> tuple[float, float]:
    from pycocotools import mask

    height, width = image["height"], image["width"]
    label = mask.merge(mask.frPyObjects(annotation["segmentation"], height, width))
    ellipse = mask.merge(mask.frPyObjects([_ellipse(prediction["bbox"]).ravel().tolist()], height, width))
    overlaps = mask.iou([prediction["segmentation"], ellipse], [label], [0])
    return float(overlaps[0, 0]), float(overlaps[1, 0])


def _ellipse(box: Sequence[float], points: int = 48) -> NDArray[np.float64]:
    x, y, width, height = box
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    centre = np.array([x + width / 2, y + height / 2])
    return np.asarray(centre + np.stack([np.cos(angles) * width / 2, np.sin(angles) * height / 2], axis=1))
