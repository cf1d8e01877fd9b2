"""Decode: a tile's pixels, at the canonical scale and at the crops'."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hema_stages.calibration.focus import laplacian_variance
from hema_stages.readers import Reader, open_reader
from hema_stages.readers.jpeg import JpegDecoder, jpeg_decoder
from hema_stages.readers.memory import bound_address_space
from hema_stream.core.calibration import Calibration
from hema_stream.core.tile import Tile, TilePlan, TileSpec
from hema_stream.core.units import CANONICAL_MPP
from hema_stream.flow import Caps, Gap, Policy, Transform, process, prop

LEAST_TISSUE = 0.05
"""Share of tissue below which plan makes no tile."""


@dataclass
class DecodeState:
    """An open slide: its reader, its frozen calibration, its plan, and the scale of the fine pixels (um a pixel)."""

    reader: Reader
    calibration: Calibration
    plan: TilePlan
    fine_mpp: float


class Decode(Transform[TileSpec, Tile]):
    """Read each tile once, from the finest pixels that its crops need, and average it down to the canonical scale.

    Runs in a worker process: a file that crashes a decoder costs one tile, and a damaged place is a gap. A tile out of
    focus is rejected as ``low_quality`` (variance of the Laplacian under the slide's frozen threshold).
    """

    accepts = Caps("image/tile")
    produces = Caps("image/tile")
    runs_on = process(workers=1)
    on_error = Policy.GAP
    deadline = 30.0

    engine: str = prop(
        "auto", doc="decoder: dali, plain, or auto for DALI where installed", choices=("auto", "dali", "plain")
    )
    threads: int = prop(1, doc="of DALI, a worker", ge=1, le=64)
    workers: int = prop(1, doc="worker processes", ge=1, le=64)
    fine_mpp: float = prop(0.1, doc="finest scale kept for crops", unit="um/px", ge=0.02, le=0.25)
    reject_focus: bool = prop(True, doc="whether tiles out of focus are rejected")
    address_space: int = prop(4 << 30, doc="what a worker may map beyond its libraries; 0: any", unit="bytes", ge=0)

    _decoder: JpegDecoder | None = None

    def start(self) -> None:
        """Load the decoders, keep OpenCV to one thread (stages run side by side), and bound the worker's memory."""
        import cv2
        import imagecodecs  # noqa: F401  its libraries must not count
        import openslide  # noqa: F401
        import tifffile  # noqa: F401

        cv2.setNumThreads(1)
        self._decoder = jpeg_decoder(self.engine, self.threads)
        self._decoder.warm()
        bound_address_space(self.address_space)

    def negotiate(self, caps: Caps) -> tuple[Caps, DecodeState]:
        """Open the slide; its fine pixels are as fine as its own, ``fine_mpp`` at most."""
        fine = max(caps.calibration.scale.mpp, self.fine_mpp)
        reader = open_reader(caps.slide, self._decoder or self.engine)
        return caps, DecodeState(reader, caps.calibration, caps.plan, fine)

    def process(self, spec: TileSpec, state: DecodeState) -> Tile | Gap:  # type: ignore[override]
        """Decode one tile; a gap ``rejected`` where it is out of focus. InputError where the file is damaged."""
        tile = read_tile(spec, state)
        if self.reject_focus and tile.focus < state.calibration.focus_threshold:
            return Gap(spec.units, "low_quality", "rejected")
        return tile

    def close(self, state: DecodeState) -> None:
        """Close the slide."""
        state.reader.close()


def read_tile(spec: TileSpec, state: DecodeState) -> Tile:
    """Read the fine pixels, (round(side * 0.25 / fine_mpp),) * 2 of them, and average them to (side, side, 3)."""
    import cv2

    factor = state.plan.scale.canonical
    x0, y0, x1, y1 = (v * factor for v in spec.box)
    side = round(spec.box[2] - spec.box[0])
    fine_side = max(round(side * CANONICAL_MPP / state.fine_mpp), side)
    fine = state.reader.read((x0, y0, x1, y1), (fine_side, fine_side), state.calibration.background)
    pixels = fine
    if fine_side > side:
        pixels = np.asarray(cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    scale = CANONICAL_MPP / state.fine_mpp if fine_side > side else 1.0
    return Tile(spec, pixels, fine, scale, _focus(pixels, spec, state))


def _focus(pixels: NDArray[np.uint8], spec: TileSpec, state: DecodeState) -> float:
    """Measure sharpness within the slide, reckoned over the tile's tissue: bare ground has none and only dilutes it."""
    plan = state.plan
    width = int(min(spec.box[2], plan.canonical_width) - spec.box[0])
    height = int(min(spec.box[3], plan.canonical_height) - spec.box[1])
    tissue = state.calibration.foreground.share(plan.box(spec.index))
    return laplacian_variance(pixels[:height, :width]) / max(tissue, LEAST_TISSUE)
