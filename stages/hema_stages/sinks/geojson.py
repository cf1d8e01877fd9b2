"""cells.geojson: outlines with classes and colours, as QuPath (0.4 and later) opens them; level-0 pixels.

QuPath gives objects ids of its own where a feature's is no UUID; the cell's id is kept as the object's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import IO, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from hema_stages.sinks.palette import style_of, styles
from hema_stream.clinical.rows import KIND_NAMES, cell_id, class_names
from hema_stream.core.result import TallyResult
from hema_stream.core.units import CONTOUR_UNIT

CHUNK = 512


def write_geojson(handle: IO[bytes], result: TallyResult) -> None:
    """Write a FeatureCollection of detections, one feature a line and cell; memory stays at some hundred cells."""
    handle.write(b'{"type":"FeatureCollection","features":[')
    style, diameters = style_of(result), result.diameters_um
    for first in range(0, len(result.cells), CHUNK):
        rows = np.arange(first, min(first + CHUNK, len(result.cells)))
        lines = [orjson.dumps(feature) for feature in _features(result, rows, style, diameters)]
        handle.write((b",\n" if first else b"\n") + b",\n".join(lines))
    handle.write(b"\n]}\n")


def _features(
    result: TallyResult,
    rows: NDArray[np.intp],
    style: NDArray[np.int16],
    diameters: NDArray[np.float64],
) -> Iterator[dict[str, Any]]:
    classes = [{"name": _class_name(s.name, s.title), "color": list(s.colour)} for s in styles(result.naming)]
    cells = result.cells.take(rows)
    measured = result.calibration.scale.source.measured
    columns = zip(
        rows.tolist(),
        _rings(cells.vertices, cells.starts, cells.boxes, cells.scale),
        style[rows].tolist(),
        class_names(result, rows),
        np.round(cells.score.astype(np.float64), 4).tolist(),
        np.round(result.confidence[rows].astype(np.float64), 4).tolist(),
        np.round(diameters[rows], 2).tolist(),
        cells.kind.tolist(),
        strict=True,
    )
    for row, ring, look, best, score, confidence, diameter, kind in columns:
        measurements = {"Detection score": score}
        if best:
            measurements["Confidence"] = confidence
        if measured:
            measurements["Diameter um"] = diameter
        yield {
            "type": "Feature",
            "id": cell_id(row),
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {
                "objectType": "detection",
                "name": cell_id(row),
                "classification": classes[look],
                "measurements": measurements,
                "metadata": {"type": KIND_NAMES[kind], "best class": best or ""},
            },
        }


def _rings(
    vertices: NDArray[np.int16], starts: NDArray[np.int64], boxes: NDArray[np.float64], scale: float
) -> Iterator[list[list[float]]]:
    """Walk the closed rings, level-0 pixels."""
    corners = np.repeat(boxes[:, :2], np.diff(starts), axis=0)
    points = np.round(corners + vertices * (CONTOUR_UNIT * scale), 2).tolist()
    for first, last in pairwise(starts.tolist()):
        ring = points[first:last]
        yield [*ring, ring[0]]


def _class_name(name: str, title: str) -> str:
    """Classes go by their name, as in report.json; what stands in a class's place goes by its title."""
    return title if name in ("unknown", "unclassified", "clump", "platelet") else name
