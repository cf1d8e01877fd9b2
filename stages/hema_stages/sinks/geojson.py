"""cells.geojson: outlines with classes and colours, as QuPath opens them; level-0 pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson

from hema_stages.sinks.artefact import artefact
from hema_stream.clinical.compose import KIND_NAMES, cell_id, class_names, colours
from hema_stream.core.result import TallyResult

KIND_TITLES = {"rbc": "Red cell", "wbc": "White cell", "platelet": "Platelet"}


def write_geojson(path: Path, result: TallyResult) -> None:
    """Write a FeatureCollection of detections, one feature a cell, streamed."""
    names, paint = class_names(result), colours(result.cells, result.best, result.unknown)
    with artefact(path) as handle:
        handle.write(b'{"type":"FeatureCollection","features":[')
        for row in range(len(result.cells)):
            handle.write((b"," if row else b"") + b"\n" + orjson.dumps(_feature(result, row, names[row], paint[row])))
        handle.write(b"\n]}\n")


def _feature(result: TallyResult, row: int, name: str | None, colour: Any) -> dict[str, Any]:
    cells = result.cells
    kind = KIND_NAMES[int(cells.kind[row])]
    ring = np.round(cells.polygon(row), 2).tolist()
    title = "Unknown" if result.unknown[row] else name or ("Clump" if cells.clump[row] else KIND_TITLES[kind])
    return {
        "type": "Feature",
        "id": cell_id(row),
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
        "properties": {
            "objectType": "detection",
            "name": cell_id(row),
            "classification": {"name": title, "color": [int(v) for v in colour]},
            "measurements": {
                "Detection score": round(float(cells.score[row]), 4),
                "Confidence": round(float(result.confidence[row]), 4),
            },
        },
    }
