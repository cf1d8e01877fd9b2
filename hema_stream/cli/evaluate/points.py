"""``hema-stream evaluate points``: labelled cell centres within whole fields."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from hema_stream.cli.evaluate.options import FILE, FOLDER, OUTPUT, pipeline_options
from hema_stream.core.slide import InputImage

if TYPE_CHECKING:
    from hema_stream.core.result import TallyResult

MISSED = "missed"


@click.command("points")
@click.option("--points", type=FILE, required=True, help="CSV with columns image, x, y, class.")
@click.option("--images", type=FOLDER, required=True, help="Folder that the image column is relative to.")
@click.option("--split", help="Only rows of this split.")
@click.option("--out", type=OUTPUT, required=True, help="CSV of predictions.")
@pipeline_options
def command(
    points: Path,
    images: Path,
    split: str | None,
    out: Path,
    profile: str,
    settings: tuple[str, ...],
    mpp: float | None,
    site: str | None,
) -> None:
    """Analyse whole fields and ask the found cell at every labelled point; scale from --mpp or a fields.csv.

    A cell that the network calls normal is called by its measured size where that is outside the panel's limits.
    """
    from hema_stream.cli.evaluate.collected import collect
    from hema_stream.cli.site.used import site_taxonomy
    from hema_stream.service.build import site_settings

    with points.open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if not split or row.get("split") == split]
    scales = _scales(points.parent / "fields.csv") | _scales(images / "fields.csv")
    names = sorted({row["image"] for row in rows})
    inputs = [InputImage(name.replace("/", "_"), images / name, mpp or scales.get(name)) for name in names]
    collected = collect("points", inputs, profile, (*site_settings("points", site), *settings))
    classes = site_taxonomy("rbc", site).names
    by_image: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_image[row["image"]].append(row)
    for name, input_ in zip(names, inputs, strict=True):
        if input_.id in collected.failed:
            click.echo(f"no result: {name}: {collected.failed[input_.id]}", err=True)
        answer_points(by_image[name], collected.items.get(input_.id, ()), classes)
    _write(out, rows)
    from hema_models.evaluation.classification import summarise

    answers = [{**row, "path": row["image"]} for row in rows]
    for line in _missed(rows):
        click.echo(line)
    for line in summarise("rbc", rows, answers):
        click.echo(line)


def _scales(path: Path) -> dict[str, float]:
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as handle:
        return {row["image"]: float(row["mpp"]) for row in csv.DictReader(handle) if row.get("mpp")}


def answer_points(rows: Sequence[dict[str, Any]], items: Sequence[Any], names: Sequence[str]) -> None:
    """Write into each row what the found cell says whose mask, or else whose box, holds the point."""
    from hema_stream.core.delta import SlideDelta
    from hema_stream.core.result import TallyResult

    labels = {
        tuple(key): (part.best[i], part.confidence[i], part.unknown[i], part.probabilities[i])
        for item in items
        if isinstance(item, SlideDelta)
        for part in item.labelled
        if part.stream == "rbc"
        for i, key in enumerate(part.keys.tolist())
    }
    result = next((item for item in items if isinstance(item, TallyResult)), None)
    sizes = {} if result is None else _odd_sizes(result)
    for row in rows:
        at = None if result is None else cell_at(result.cells, np.array([float(row["x"]), float(row["y"])]))
        said = None if at is None or result is None else labels.get(tuple(result.cells.keys[at].tolist()))
        row |= {"predicted": MISSED, "confidence": 0, "unknown": 0}
        if said is not None and at is not None:
            name = names[said[0]]
            row["predicted"] = sizes.get(at, name) if name == "normal" else name
            row |= {"confidence": f"{said[1]:.5f}", "unknown": int(said[2])}
            row |= {name: f"{p:.5f}" for name, p in zip(names, said[3], strict=True)}


def _odd_sizes(result: TallyResult) -> dict[int, str]:
    """Rows of whole cells outside the panel's limits of size; none where the scale was not measured."""
    from hema_stream.clinical.morphology import size_classes
    from hema_stream.clinical.panel import load_panel

    if not result.calibration.scale.source.measured:
        return {}
    classes = size_classes(result.diameters_um, load_panel())
    return {
        int(row): "microcyte" if classes[row] == 0 else "macrocyte"
        for row in np.flatnonzero((classes != 1) & result.whole)
    }


def cell_at(cells: Any, point: NDArray[np.float64]) -> int | None:
    """Row of the cell that holds a level-0 point: by mask, else by box with the nearest centroid; None where none."""
    import cv2

    inside = (cells.boxes[:, :2] <= point).all(axis=1) & (cells.boxes[:, 2:] >= point).all(axis=1)
    rows = np.flatnonzero(inside)
    rows = rows[np.argsort(np.hypot(*(cells.centroid[rows] - point).T))]
    for row in rows:
        if cv2.pointPolygonTest(cells.polygon(row).astype(np.float32), (float(point[0]), float(point[1])), False) >= 0:
            return int(row)
    return int(rows[0]) if len(rows) else None


def _write(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with out.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns)
        writer.writeheader()
        writer.writerows(rows)


def _missed(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    missed = sum(row["predicted"] == MISSED for row in rows)
    yield f"{len(rows)} points; {missed} missed ({missed / max(len(rows), 1):.1%})"
