"""Labelled fields for the segmenter: COCO files read at the canonical scale."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CANONICAL_MPP = 0.25
KINDS = ("rbc", "wbc", "platelet")
MASK_SIDE = 56
MASK_MARGIN = 1.15


@dataclass(frozen=True)
class Field:
    """One labelled picture at the canonical scale (0.25 um a pixel).

    Attributes:
        name: file name in the COCO file.
        lab: laboratory or source.
        group: what must stay on one side of a split (a run of fields, a smear, or the picture itself).
        pixels: (H, W, 3) uint8 RGB.
        boxes: (N, 4) float32 xyxy, canonical pixels.
        kinds: (N,) int64, index into ``KINDS``.
        masks: (N, MASK_SIDE, MASK_SIDE) bool over the box widened by ``MASK_MARGIN``.
        has_mask: (N,) bool, whether the mask was labelled (a platelet's is its box's ellipse, derived).
        ignore: (M, 4) float32 xyxy of foreground that no box covers.
        exhaustive: (3,) bool, whether every visible cell of the kind is boxed.
    """

    name: str
    lab: str
    group: str
    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    kinds: NDArray[np.int64]
    masks: NDArray[np.bool_]
    has_mask: NDArray[np.bool_]
    ignore: NDArray[np.float32]
    exhaustive: NDArray[np.bool_]


def load_fields(coco: Path, labs: Collection[str]) -> list[Field]:
    """Read the pictures of ``labs`` from a COCO file; pictures lie beside it as ``file_name`` says."""
    document = json.loads(coco.read_text())
    wanted = set(labs)
    annotations: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in document["annotations"]:
        annotations[annotation["image_id"]].append(annotation)
    return [
        _read_field(coco.parent / image["file_name"], image, annotations[image["id"]])
        for image in document["images"]
        if image["lab"] in wanted
    ]


def split_group(lab: str, file_name: str) -> str:
    """Name what must not be divided between training and development.

    bccd's neighbouring numbers show one smear (its own split was made in runs of six numbers), so runs of six stay
    together; of the other sources neither smear nor patient is told, and the picture is the group.
    """
    stem = Path(file_name).stem
    number = re.search(r"(\d+)$", stem)
    if lab == "bccd" and number:
        return f"{lab}/{int(number.group(1)) // 6}"
    return f"{lab}/{stem}"


def deal_folds(groups: Collection[str], folds: int) -> dict[str, int]:
    """Deal groups to folds in turn, laboratory by laboratory, so that every fold sees each source's whole course."""
    dealt: dict[str, int] = {}
    for lab in sorted({group.split("/")[0] for group in groups}):
        own = sorted({group for group in groups if group.split("/")[0] == lab}, key=_natural)
        dealt.update({group: position % folds for position, group in enumerate(own)})
    return dealt


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _read_field(path: Path, image: dict[str, Any], annotations: list[dict[str, Any]]) -> Field:
    import cv2

    source = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if source is None:
        raise ValueError(f"{path}: cannot be read as a picture; check that the data set is complete")
    scale = float(image["mpp"]) / CANONICAL_MPP
    height, width = round(source.shape[0] * scale), round(source.shape[1] * scale)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    pixels = cv2.resize(cv2.cvtColor(source, cv2.COLOR_BGR2RGB), (width, height), interpolation=interpolation)
    boxes = np.array([a["bbox"] for a in annotations], np.float32).reshape(-1, 4) * scale
    boxes[:, 2:] += boxes[:, :2]
    ignore = np.array(image.get("ignore", []), np.float32).reshape(-1, 4) * scale
    ignore[:, 2:] += ignore[:, :2]
    kinds = np.array([a["category_id"] - 1 for a in annotations], np.int64)
    drawn = [_local_mask(a, box, scale) for a, box in zip(annotations, boxes, strict=True)]
    return Field(
        name=image["file_name"],
        lab=image["lab"],
        group=split_group(image["lab"], image["file_name"]),
        pixels=np.ascontiguousarray(pixels, np.uint8),
        boxes=boxes,
        kinds=kinds,
        masks=np.array([mask for mask, _ in drawn], bool).reshape(-1, MASK_SIDE, MASK_SIDE),
        has_mask=np.array([known for _, known in drawn], bool),
        ignore=ignore,
        exhaustive=np.array([kind in image.get("exhaustive_for", []) for kind in KINDS]),
    )


def _local_mask(annotation: dict[str, Any], box: NDArray[np.float32], scale: float) -> tuple[NDArray[np.bool_], bool]:
    import cv2

    mask = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
    polygons = annotation.get("segmentation") or []
    if annotation["category_id"] - 1 == KINDS.index("platelet"):
        radius = round(MASK_SIDE / 2 / MASK_MARGIN)
        cv2.circle(mask, (MASK_SIDE // 2, MASK_SIDE // 2), radius, 1, thickness=-1)
        return mask.astype(bool), True
    centre, sides = (box[:2] + box[2:]) / 2, np.maximum(box[2:] - box[:2], 1) * MASK_MARGIN
    for polygon in polygons:
        points = np.array(polygon, np.float32).reshape(-1, 2) * scale
        local = ((points - centre) / sides + 0.5) * MASK_SIDE
        cv2.fillPoly(mask, [np.round(local * 16 - 8).astype(np.int32)], 1, shift=4)
    return mask.astype(bool), bool(polygons)
