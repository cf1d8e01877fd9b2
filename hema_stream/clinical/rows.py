"""Rows of a report's lists of cells, made a few thousand at a time: a slide may hold hundreds of thousands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stream.clinical.morphology import SIZE_CLASSES, size_classes
from hema_stream.clinical.panel import Panel
from hema_stream.core.cells import Kind, Priority
from hema_stream.core.result import TallyResult

CHUNK = 2048
KIND_NAMES = {int(kind): kind.name.lower() for kind in Kind}
STREAMS = {int(Kind.RBC): "rbc", int(Kind.WBC): "wbc"}


def cell_id(row: int) -> str:
    """Name a cell by its place in the report, which follows tile and number, never arrival."""
    return f"c{row + 1:06d}"


def class_names(result: TallyResult, rows: NDArray[np.intp] | slice = slice(None)) -> list[str | None]:
    """Class of the chosen cells; None where a cell has none."""
    tables = {kind: result.taxonomy(stream).names for kind, stream in STREAMS.items()}
    return [
        tables[kind][best] if best >= 0 and kind in tables else None
        for kind, best in zip(result.cells.kind[rows].tolist(), result.best[rows].tolist(), strict=True)
    ]


def detections(result: TallyResult, panel: Panel) -> Iterator[dict[str, Any]]:
    """Walk the rows of ``cell_detections``, in the order of tile and number."""
    sizes = _sizes(result, panel)
    for first in range(0, len(result.cells), CHUNK):
        yield from _detections(result, sizes, slice(first, first + CHUNK), first)


def _detections(result: TallyResult, sizes: NDArray[np.int8], rows: slice, first: int) -> Iterator[dict[str, Any]]:
    cells, names = result.cells, class_names(result, rows)
    columns = zip(
        np.stack([cells.tile[rows], cells.index[rows]], axis=1).tolist(),
        cells.kind[rows].tolist(),
        names,
        [None if size < 0 else SIZE_CLASSES[size] for size in sizes[rows].tolist()],
        _rounded(result.confidence[rows], 4),
        result.unknown[rows].tolist(),
        _rounded(cells.score[rows], 4),
        _rounded(cells.boxes[rows], 2),
        _rounded(cells.centroid[rows], 2),
        (cells.priority[rows] == Priority.EDGE).tolist(),
        cells.clump[rows].tolist(),
        strict=True,
    )
    for row, values in enumerate(columns, first):
        key, kind, name, size, confidence, unknown, score, box, centroid, truncated, clump = values
        yield {
            "cell_id": cell_id(row),
            "key": key,
            "type": KIND_NAMES[kind],
            "classification": name,
            "size_class": size,
            "confidence": confidence if name else None,
            "unknown": unknown,
            "detection_score": score,
            "bbox": box,
            "centroid": centroid,
            "truncated": truncated,
            "clump": clump,
        }


def uncertain(result: TallyResult, panel: Panel) -> Iterator[dict[str, Any]]:
    """Walk the rows of ``uncertain_cases``: what a person should look at, and why, in the order of the cells."""
    limit = panel.review.confidence
    named = result.best >= 0
    grounds = {
        "classification failed": result.unclassified & result.lost,
        "not classified before the analysis ended": result.unclassified & ~result.lost,
        "unknown: confidence under the class's threshold": result.unknown,
        f"confidence below {limit:g}": named & (result.confidence < limit),
        "truncated: no whole view": result.truncated,
    }
    reasons, holds = list(grounds), np.stack(list(grounds.values()))
    review = result.unknown | result.unclassified | (result.cells.kind == Kind.WBC)
    chosen = np.flatnonzero(holds.any(axis=0))
    for first in range(0, len(chosen), CHUNK):
        rows = chosen[first : first + CHUNK]
        for row, name in zip(rows.tolist(), class_names(result, rows), strict=True):
            yield {
                "cell_id": cell_id(row),
                "type": KIND_NAMES[int(result.cells.kind[row])],
                "predicted_class": name,
                "confidence": round(float(result.confidence[row]), 4) if name else None,
                "reason": "; ".join(reasons[ground] for ground in np.flatnonzero(holds[:, row])),
                "requires_manual_review": bool(review[row]),
            }


def _sizes(result: TallyResult, panel: Panel) -> NDArray[np.int8]:
    """(N,) size class of single red cells seen whole, where the scale was measured; -1 for all others."""
    if not result.calibration.scale.source.measured:
        return np.full(len(result.cells), -1, np.int8)
    sized = result.whole & (result.cells.kind == Kind.RBC)
    return np.where(sized, size_classes(result.diameters_um, panel), -1).astype(np.int8)


def _rounded(column: NDArray[np.floating], digits: int) -> list[Any]:
    values: list[Any] = np.round(column.astype(np.float64), digits).tolist()
    return values
