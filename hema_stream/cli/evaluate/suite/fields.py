"""Whole fields through the product: what is found, what its red cells are named, what a report would claim."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stream.cli.evaluate.detect import LEAST_SCORE, locate
from hema_stream.cli.evaluate.suite.claims import Claims
from hema_stream.cli.evaluate.suite.kept import Task, answered
from hema_stream.cli.evaluate.suite.recipe import Recipe
from hema_stream.core.slide import InputImage

RED, WHITE = 0, 1
LOWERED = (f"segment.min_score={LEAST_SCORE}", f"clean.score={LEAST_SCORE}")


@dataclass(frozen=True, eq=False)
class Field:
    """One labelled field and the single red and white cells that were found in it.

    Attributes:
        image: entry of the COCO file; labels: its annotations.
        boxes: (N, 4) float64 x, y, width, height; kind: (N,) 0 red, 1 white; said: (N,) class, -1 where none;
            unknown: (N,) bool.
    """

    image: Mapping[str, Any]
    labels: Sequence[Mapping[str, Any]]
    boxes: NDArray[np.float64]
    kind: NDArray[np.int64]
    said: NDArray[np.int64]
    unknown: NDArray[np.bool_]

    @property
    def red(self) -> NDArray[np.bool_]:
        """(N,) classified red cells."""
        return np.asarray((self.kind == RED) & (self.said >= 0))

    def counts(self, kind: int, names: Sequence[str]) -> tuple[dict[str, int], int]:
        """Cells of a kind by class, unknown ones left out, and how many are unknown."""
        own = (self.kind == kind) & (self.said >= 0)
        counted = Counter(names[best] for best in self.said[own & ~self.unknown].tolist())
        return dict(counted), int((own & self.unknown).sum())


def analysed(
    data: Path, split: str, labs: Sequence[str], recipe: Recipe, kept: Path, say: Callable[[str], None]
) -> list[Field]:
    """Analyse the fields of some laboratories of ``data/detection/<split>.json``."""
    document, chosen = _document(data, split, labs)
    labels: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in document["annotations"]:
        labels[annotation["image_id"]].append(annotation)
    inputs = _inputs(data, chosen)
    said = answered(Task("fields", "points"), recipe, kept, inputs, lambda _, items: _cells(items), say)
    return [_field(image, labels[image["id"]], one) for image, one in zip(chosen, said, strict=True) if one is not None]


def _document(data: Path, split: str, labs: Sequence[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    document = json.loads((data / "detection" / f"{split}.json").read_text(encoding="utf-8"))
    return document, [image for image in document["images"] if not labs or image["lab"] in labs]


def _inputs(data: Path, images: Sequence[Mapping[str, Any]]) -> list[InputImage]:
    folder = data / "detection"
    return [InputImage(str(n), locate(folder, i["file_name"]), i.get("mpp")) for n, i in enumerate(images)]


def _cells(items: Sequence[Any]) -> dict[str, Any] | None:
    from hema_stream.core.result import TallyResult

    result = next((item for item in items if isinstance(item, TallyResult)), None)
    if result is None:
        return None
    rows = np.flatnonzero(result.single & (result.cells.kind <= WHITE))
    boxes = result.cells.boxes[rows].astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return {
        "boxes": boxes.round(1).tolist(),
        "kind": result.cells.kind[rows].tolist(),
        "said": result.best[rows].tolist(),
        "unknown": result.unknown[rows].astype(int).tolist(),
    }


def _field(image: Mapping[str, Any], labels: Sequence[Mapping[str, Any]], one: Mapping[str, Any]) -> Field:
    return Field(
        image,
        labels,
        np.array(one["boxes"], np.float64).reshape(-1, 4),
        np.array(one["kind"], np.int64),
        np.array(one["said"], np.int64),
        np.array(one["unknown"], np.int64).astype(bool),
    )


def field_figures(fields: Sequence[Field], claims: Claims) -> dict[str, Any]:
    """By laboratory: names of round whole red cells, the share of red cells unknown, what fields would claim."""
    from hema_models.evaluation.naming import named, share

    out: dict[str, Any] = {}
    for lab in sorted({field.image["lab"] for field in fields}):
        own = [field for field in fields if field.image["lab"] == lab]
        rows = [_round(field) for field in own]
        said = np.concatenate([field.said[at] for field, (at, _) in zip(own, rows, strict=True)])
        unknown = np.concatenate([field.unknown[at] for field, (at, _) in zip(own, rows, strict=True)])
        red = sum(int(field.red.sum()) for field in own)
        silent = sum(int((field.red & field.unknown).sum()) for field in own)
        out[lab] = {
            "fields": len(own),
            "round": named(said, unknown),
            "round_missed": sum(missed for _, missed in rows),
            "red_unknown": share(silent, red),
            "claims": _claims(own, claims),
        }
    return out


def _round(field: Field) -> tuple[NDArray[np.int64], int]:
    """Rows of the found red cells that the labels show round and whole, and how many such were missed."""
    from hema_models.evaluation.naming import found_at
    from hema_models.training.crops import round_and_whole

    boxes = np.array([label["bbox"] for label in field.labels], np.float64).reshape(-1, 4)
    red = np.array([label["category_id"] == RED + 1 for label in field.labels], bool)
    whole = boxes[round_and_whole(boxes, field.image["width"], field.image["height"]) & red] if len(boxes) else boxes
    rows = np.flatnonzero(field.red)
    at = found_at(whole, field.boxes[rows])
    return rows[at[at >= 0]], int((at < 0).sum())


def _claims(fields: Sequence[Field], claims: Claims) -> dict[str, Any]:
    """Flags and candidates of single fields: how many fields show each."""
    flags: Counter[str] = Counter()
    candidates: Counter[str] = Counter()
    red = 0
    for field in fields:
        raised, asked = set(), set()
        for kind, stream in ((RED, "rbc"), (WHITE, "wbc")):
            more, less = claims.of(stream, *field.counts(kind, claims.names(stream)))
            raised |= more
            asked |= less
        flags.update(raised)
        candidates.update(asked)
        red += bool(raised)
    return {"fields": len(fields), "flagged": red, "flags": dict(flags), "candidates": dict(candidates)}


def detection_figures(
    data: Path, split: str, recipe: Recipe, kept: Path, draws: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Average precision at IoU 0.5 by class and laboratory, with its interval, and the working point at 0.5."""
    from hema_models.evaluation.detection import average_precision, bootstrap_interval, match_all, working_point

    document, images = _document(data, split, ())
    task = Task("detect", "detect", LOWERED)
    said = answered(task, recipe, kept, _inputs(data, images), lambda _, items: _boxes(items), say)
    predictions = [
        {"image_id": image["id"], "category_id": kind + 1, "bbox": box, "score": score}
        for image, one in zip(images, said, strict=True)
        for kind, box, score in one or ()
    ]
    lab_of = {image["id"]: image["lab"] for image in images}
    out: dict[str, Any] = {}
    for name, by_image in match_all(document, predictions, lab_of).items():
        for lab in sorted(set(lab_of.values())):
            own = [m for id_, m in by_image.items() if lab_of[id_] == lab]
            labels = sum(m.labels for m in own)
            if not labels:
                continue
            low, high = bootstrap_interval(own, draws)
            point = {key: round(value, 4) for key, value in working_point(own, 0.5).items()}
            figures = {"images": len(own), "labels": labels, "ap50": round(average_precision(own), 4)}
            out.setdefault(name, {})[lab] = figures | {"interval": [round(low, 4), round(high, 4)]} | point
    return out


def _boxes(items: Sequence[Any]) -> list[tuple[int, list[float], float]]:
    return [
        (int(kind), [round(float(v), 1) for v in (x0, y0, x1 - x0, y1 - y0)], round(float(score), 4))
        for result in items
        if hasattr(result, "cells")
        for (x0, y0, x1, y1), kind, score in zip(
            result.cells.boxes.tolist(), result.cells.kind.tolist(), result.cells.score.tolist(), strict=True
        )
    ]
