"""Labelled single cells through the product: crops of white and red cells, and Chula's points within their fields."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hema_stream.cli.evaluate.pictures import inputs_of, labelled
from hema_stream.cli.evaluate.suite.kept import Task, answered
from hema_stream.cli.evaluate.suite.recipe import Recipe
from hema_stream.core.slide import InputImage

if TYPE_CHECKING:
    from hema_models.evaluation.answers import Answers

SILENT = {"predicted": "", "confidence": 0.0, "unknown": 1}
CHULA = "chula_rbc12"


def crops(
    stream: str, data: Path, split: str, most: int | None, recipe: Recipe, kept: Path, say: Callable[[str], None]
) -> tuple[Answers, dict[str, int]]:
    """Answers to the pictures of ``data/<stream>/labels.csv``, each of one cell.

    Args:
        most: at most so many cells of a source and label, the same ones every time.

    Returns:
        The answers, a cell that was not found among them; and by source how many pictures gave no result, such as those
        too small for the product. These are nobody's wrong answers: they are counted apart.
    """
    from hema_models.evaluation.answers import answers_of

    from hema_stream.cli.site.used import site_taxonomy

    rows = [_scaled(row) for row in fewer(labelled(data / stream / "labels.csv", split, ()), most)]
    names = site_taxonomy(stream, recipe.site).names
    task = Task(stream, "central", (f"central.stream={stream}", f"classify.stream={stream}"))
    said = answered(task, recipe, kept, inputs_of(rows, None), lambda _, items: _said(items, names), say)
    pairs = list(zip(rows, said, strict=True))
    answers = answers_of(stream, [{**row, **one, "name": row["path"]} for row, one in pairs if one is not None])
    return answers, dict(sorted(Counter(row["source"] for row, one in pairs if one is None).items()))


def fewer(rows: Sequence[dict[str, Any]], most: int | None) -> list[dict[str, Any]]:
    """At most so many rows of each source and class, chosen by the hash of their path."""
    if most is None:
        return list(rows)
    by_kind: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_kind[row["source"], row["class"]].append(row)
    return [row for own in by_kind.values() for row in sorted(own, key=_by_hash)[:most]]


def _by_hash(row: dict[str, Any]) -> str:
    return hashlib.sha256(row["path"].encode()).hexdigest()


def _scaled(row: dict[str, Any]) -> dict[str, Any]:
    from hema_models.training.crops import ASSUMED_MPP

    return {**row, "mpp": row["mpp"] or str(ASSUMED_MPP.get(row["source"], ""))}


def _said(items: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    from hema_stream.core.crops import Labels

    for item in items:
        if isinstance(item, Labels):
            best, confidence, unknown = int(item.best[0]), float(item.confidence[0]), int(item.unknown[0])
            return {"predicted": names[best], "confidence": round(confidence, 5), "unknown": unknown}
    return dict(SILENT)


def points(data: Path, split: str, recipe: Recipe, kept: Path, say: Callable[[str], None]) -> Answers:
    """Answers to Chula's labelled centres, asked of the cells found in their whole fields."""
    from hema_models.evaluation.answers import answers_of

    from hema_stream.cli.evaluate.points import answer_points
    from hema_stream.cli.site.used import site_taxonomy

    folder = data / "rbc" / CHULA
    scale = {row["image"]: float(row["mpp"]) for row in _table(folder / "fields.csv")}
    by_image: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in _table(folder / "points.csv"):
        if row["split"] == split:
            by_image[row["image"]].append(row)
    images, names = sorted(by_image), site_taxonomy("rbc", recipe.site).names
    inputs = [InputImage(str(n), folder / image, scale[image]) for n, image in enumerate(images)]

    def tell(number: int, items: Sequence[Any]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = [dict(row) for row in by_image[images[number]]]
        answer_points(rows, items, names)
        return [{key: row[key] for key in SILENT} for row in rows]

    asked = [json.dumps(by_image[image]) for image in images]
    said = answered(Task("points", "points"), recipe, kept, inputs, tell, say, asked)
    rows = [
        {**row, **one, "source": CHULA, "name": f"{image}#{row['x']},{row['y']}"}
        for image, own in zip(images, said, strict=True)
        for row, one in zip(by_image[image], own or [SILENT] * len(by_image[image]), strict=True)
    ]
    return answers_of("rbc", rows)


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))
