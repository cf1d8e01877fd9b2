"""Decode: a tile's pixels, at the canonical scale and at the crops'."""

from __future__ import annotations

import resource
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hema_stages.calibration.focus import laplacian_variance
from hema_stages.readers import Reader, open_reader
from hema_stream.core.calibration import Calibration
from hema_stream.core.tile import Tile, TilePlan, TileSpec
from hema_stream.core.units import CANONICAL_MPP
from hema_stream.flow import Caps, Gap, Policy, Transform, process, prop


@dataclass
class _Open:
    reader: Reader
    calibration: Calibration
    plan: TilePlan
    fine_mpp: float


class Decode(Transform[TileSpec, Tile]):
    """Read each tile once from the finest pixels that its crops need, and average it down to the canonical scale.

    Runs in a worker process: a file that crashes a decoder costs one tile. A tile out of focus is rejected as
    ``low_quality`` (variance of the Laplacian under the slide's frozen threshold).
    """

    accepts = Caps("image/tile")
    produces = Caps("image/tile")
    runs_on = process(workers=1)
    on_error = Policy.GAP
    deadline = 30.0

    engine: str = prop(
        "auto", doc="decoder: dali, plain, or auto for DALI where installed", choices=("auto", "dali", "plain")
    )
    fine_mpp: float = prop(0.1, doc="finest scale kept for crops", unit="um/px", ge=0.02, le=0.25)
    address_space: int = prop(0, doc="address space of the worker; 0 for no limit of its own", unit="bytes", ge=0)

    def start(self) -> None:
        """Bound the worker's memory and keep OpenCV to one thread: the pipeline runs stages side by side."""
        import cv2

        cv2.setNumThreads(1)
        if self.address_space:
            resource.setrlimit(resource.RLIMIT_AS, (self.address_space, self.address_space))

    def negotiate(self, caps: Caps) -> tuple[Caps, _Open]:
        """Open the slide."""
        scale = caps.calibration.scale
        fine = max(scale.mpp, self.fine_mpp)
        return caps, _Open(open_reader(caps.slide, self.engine), caps.calibration, caps.plan, fine)

    def process(self, spec: TileSpec, state: _Open) -> Tile | Gap:  # type: ignore[override]
        """Decode one tile."""
        import cv2

        factor = state.plan.scale.canonical
        box = tuple(v * factor for v in spec.box)
        side = round(spec.box[2] - spec.box[0])
        background = state.calibration.background
        fine_scale = CANONICAL_MPP / state.fine_mpp
        if fine_scale <= 1:
            pixels = fine = state.reader.read(box, (side, side), background)  # type: ignore[arg-type]
            fine_scale = 1.0
        else:
            fine_side = round(side * fine_scale)
            fine = state.reader.read(box, (fine_side, fine_side), background)  # type: ignore[arg-type]
            pixels = np.asarray(cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        focus = laplacian_variance(_inside(pixels, spec, state.plan))
        if focus < state.calibration.focus_threshold:
            return Gap(spec.units, "low_quality", "rejected")
        return Tile(spec, pixels, fine, fine_scale, focus)

    def close(self, state: _Open) -> None:
        """Close the slide."""
        state.reader.close()


def _inside(pixels: NDArray[np.uint8], spec: TileSpec, plan: TilePlan) -> NDArray[np.uint8]:
    """The tile's part within the slide."""
    width = round(min(spec.box[2], plan.canonical_width) - spec.box[0])
    height = round(min(spec.box[3], plan.canonical_height) - spec.box[1])
    return pixels[:height, :width]
