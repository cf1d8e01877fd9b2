"""Central: the one cell that a labelled picture shows, cropped as the pipeline crops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hema_stream.core.calibration import Calibration
from hema_stream.core.cells import Kind
from hema_stream.core.crops import Crops, load_geometry
from hema_stream.core.segmented import Segmented
from hema_stream.core.tile import TilePlan
from hema_stream.flow import Caps, Pad, Policy, Stage, cpu, prop


@dataclass(frozen=True)
class CentralCell:
    """What was cropped of one picture.

    Attributes:
        found: whether a cell lies at the middle; else the middle itself was cropped.
        kind: what the segmenter says the cell is; empty where none was found.
    """

    found: bool
    kind: str
    scale_source: str


class Central(Stage):
    """Choose the cell whose box holds the picture's middle and whose centroid is nearest to it."""

    sinks = {"sink": Pad(Caps("cells/segmented"))}
    sources = {"src": Pad(Caps("image/crops")), "found": Pad(Caps("cells/central"), request=True)}
    runs_on = cpu(threads=1)
    on_error = Policy.FAIL_SLIDE

    stream: str = prop("wbc", doc="which classifier the crop is for", choices=("rbc", "wbc"))
    radius_um: float = prop(6.0, doc="how far from the middle a cell's centroid may lie", unit="um", ge=0.0)

    def negotiate(self, caps: Caps) -> tuple[Caps, tuple[TilePlan, Calibration]]:
        """Keep the picture's size and background."""
        return caps, (caps.plan, caps.calibration)

    def process(
        self, item: Segmented, state: tuple[TilePlan, Calibration], pad: str = "sink"
    ) -> Iterator[tuple[str, Any]]:
        """Crop the tile that holds the middle; other tiles of a large picture have nothing to say."""
        from hema_models.cropping import crop_sides, gather_crops

        plan, calibration = state
        geometry = load_geometry(self.stream)
        middle = np.array([plan.width, plan.height]) / 2
        x, y = middle / plan.scale.canonical
        x0, y0, x1, y1 = item.tile.spec.core
        if not (x0 <= x < x1 and y0 <= y < y1):
            return
        cells = item.cells
        distance = np.hypot(*(cells.centroid - middle).T) * calibration.scale.mpp
        over = (cells.boxes[:, :2] <= middle).all(axis=1) & (cells.boxes[:, 2:] >= middle).all(axis=1)
        candidates = np.flatnonzero(over | (distance <= self.radius_um))
        if len(candidates):
            row = candidates[distance[candidates].argmin()]
            centre, box = cells.centroid[row], cells.boxes[row : row + 1]
            kind = Kind(cells.kind[row]).name.lower()
        else:
            centre, box, kind = middle, np.array([[*middle, *middle]]), ""
        sides_um, widened = crop_sides(box, calibration.scale, geometry.side_um)
        place = (centre / plan.scale.canonical - np.array(item.tile.spec.box[:2])) * item.tile.fine_scale
        fine_mpp = calibration.scale.mpp * plan.scale.canonical / item.tile.fine_scale
        pixels = gather_crops(
            item.tile.fine, place[None], sides_um / fine_mpp, geometry.side_px, calibration.background
        )
        yield "found", CentralCell(bool(kind), kind, calibration.scale.source.value)
        yield "src", Crops(self.stream, pixels, np.zeros((1, 2), np.int32), widened)
