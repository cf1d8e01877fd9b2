"""The segment stage: one tile in, the table of its cells out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.cells import CellTable, Priority
from hema_stream.core.field_plan import SlidePlan
from hema_stream.core.segmented import Segmented
from hema_stream.core.tile import Tile, TileSpec
from hema_stream.flow import Caps, Policy, Transform, cpu, prop

if TYPE_CHECKING:
    from hema_models.backends import Network

    from hema_stages.segment.candidates import Candidates
    from hema_stages.segment.contours import Shapes


class Segment(Transform[Tile, Segmented]):
    """Find cells on a tile with a YOLO segmenter (Jocher et al., ultralytics) and decode each mask in its own box.

    Boxes, outlines and figures come back in level-0 pixels. A view cut by a tile edge inside the slide is marked
    (``Priority.EDGE``), one whose centroid another tile owns is ``WHOLE``, the rest are ``OWNED``.
    """

    accepts = Caps("image/tile")
    produces = Caps("cells/segmented")
    runs_on = cpu(threads=1)
    on_error = Policy.GAP
    deadline = 60.0

    model: str = prop("yolo11n-seg", doc="card of a shipped model, or path of an .xml or .onnx segmenter")
    backend: str = prop("openvino", doc="what runs it", choices=("openvino", "torch", "onnxruntime"))
    device: str = prop("cpu", doc="torch device")
    threads: int = prop(0, doc="CPU threads of the back end; 0 for its own choice", ge=0)
    precision: str = prop("auto", doc="arithmetic; auto: OpenVINO's choice", choices=("auto", "float32"))
    min_score: float = prop(0.25, doc="least score that is passed on", ge=0.0, le=1.0)
    iou: float = prop(0.5, doc="overlap above which the lower score goes", ge=0.0, le=1.0)
    max_detections: int = prop(6000, doc="most detections a tile; what is beyond is counted", ge=1)
    edge_margin: float = prop(10.0, doc="distance from an inner edge within which a view may be cut", unit="px", ge=0)

    _network: Network

    def start(self) -> None:
        """Load the network and compile the kernels."""
        from hema_models.backends import open_network

        from hema_stages.segment.contours import trace
        from hema_stages.segment.kernels import decode_masks, mask_frames, suppress

        self._network = open_network(self.model, 1, self.backend, self.threads, self.device, self.precision)
        box = np.array([[1, 1, 9, 9]], np.float32)
        frames, starts = mask_frames(box[suppress(box, 0.5, 64)], 64)
        masks = decode_masks(np.zeros((16, 16, 32), np.float32), np.zeros((1, 32), np.float32), frames, starts, 4)
        trace(masks, frames, starts, box)

    def negotiate(self, caps: Caps) -> tuple[Caps, SlidePlan]:
        """Pass the slide's calibration on; the plan is needed to place what is found."""
        return caps.with_(models={**caps.get("models", {}), self.name: self._network.identity}), caps.plan

    def process(self, tile: Tile, plan: SlidePlan) -> Segmented:  # type: ignore[override]
        """Find the cells of one tile; numbers within the tile follow the score, best first."""
        from hema_stages.segment.candidates import select_candidates
        from hema_stages.segment.contours import trace
        from hema_stages.segment.kernels import decode_masks, mask_frames

        detections, prototypes = self._network(tile.pixels[None])
        side = tile.pixels.shape[0]
        found = select_candidates(detections[0], side, self.min_score, self.iou, self.max_detections)
        frames, starts = mask_frames(found.boxes, side)
        vectors = np.ascontiguousarray(prototypes[0].transpose(1, 2, 0))
        packed = decode_masks(vectors, found.coefficients, frames, starts, side // vectors.shape[0])
        cells = place(found, trace(packed, frames, starts, found.boxes), tile.spec, plan, self.edge_margin)
        removed = {"over_max_detections": found.capped} if found.capped else {}
        return Segmented(tile, cells, removed)


def place(found: Candidates, shapes: Shapes, spec: TileSpec, plan: SlidePlan, margin: float) -> CellTable:
    """Map a tile's findings to level-0 pixels and rank each view; what lies in the padding is left out."""
    factor = plan.scale.canonical
    origin = np.array(spec.box[:2])
    limit = np.array([plan.width, plan.height], np.float64)
    low = np.maximum(np.array(spec.view[:2]) * factor, 0)
    high = np.minimum(np.array(spec.view[2:]) * factor, limit)
    corners = (found.boxes.reshape(-1, 2, 2).astype(np.float64) + origin) * factor
    centroid = (shapes.centroid + origin) * factor
    table = CellTable(
        tile=np.full(len(found.boxes), spec.index, np.int32),
        index=np.arange(len(found.boxes), dtype=np.int32),
        kind=found.kinds,
        score=found.scores,
        boxes=corners.clip(low, high).reshape(-1, 4),
        centroid=centroid,
        area=shapes.area,
        solidity=shapes.solidity,
        priority=_priorities(found.boxes, shapes.centroid, spec, margin),
        clump=np.zeros(len(found.boxes), np.int16),
        vertices=shapes.vertices,
        starts=shapes.starts,
        scale=factor,
    )
    solid = (table.boxes[:, 2:] - table.boxes[:, :2] > 0).all(axis=1)
    return table.take((centroid >= low).all(axis=1) & (centroid < high).all(axis=1) & solid)


def _priorities(
    boxes: NDArray[np.float32], centroid: NDArray[np.float64], spec: TileSpec, margin: float
) -> NDArray[np.int8]:
    left, top, right, bottom = np.array(spec.view) - np.tile(spec.box[:2], 2)
    distances = np.stack([boxes[:, 0] - left, boxes[:, 1] - top, right - boxes[:, 2], bottom - boxes[:, 3]], axis=1)
    cut = ((distances < margin) & np.array(spec.inner)).any(axis=1)
    x, y = (centroid + np.array(spec.box[:2])).T
    x0, y0, x1, y1 = spec.core
    owned = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    whole = np.where(owned, Priority.OWNED, Priority.WHOLE)
    return np.where(cut, Priority.EDGE, whole).astype(np.int8)
