"""What a scan's scale, stain, focus and ground are, measured on a few whole fields."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hema_stages.calibration.focus import laplacian_variance
from hema_stages.calibration.foreground import background_colour
from hema_stages.calibration.measuring import Measuring, red_cell_of
from hema_stages.calibration.scale import estimate_mpp
from hema_stages.calibration.stain_fit import LEAST_SIDE_UM
from hema_stages.calibration.surround import surround, without_surround
from hema_stream.core.calibration import Calibration, Foreground, StainFit
from hema_stream.core.errors import InputCode
from hema_stream.core.field import Scan, Shot
from hema_stream.core.slide import Scale, ScaleSource
from hema_stream.core.units import CANONICAL_MPP, believable_mpp

WHITE = np.full(3, 255, np.uint8)
UNSETTLED = "calibration_unsettled"
"""Warning: the window was full before it was known which fields are the lowest."""


def measure(shots: Sequence[Shot], scan: Scan, how: Measuring, settled: bool) -> Calibration:
    """Measure a scan on the fields chosen for it; on none of them where nothing usable came."""
    scale = _scale(shots, scan, how)
    whole = [resampled(shot.pixels, scale.mpp) for shot in shots]
    ground = background_colour(np.concatenate([p[~surround(p)] for p in whole])) if whole else WHITE
    patches = [without_surround(pixels, ground) for pixels in whole]
    focus = float(np.median([laplacian_variance(patch) for patch in patches])) if patches else 0.0
    stain = _stain(patches, ground, scan, scale, how)
    said = {
        InputCode.NO_SCALE.value: scan.mpp is None,
        InputCode.LOW_FOCUS.value: bool(patches) and focus < how.low_focus,
        "stain_out_of_range": not stain.in_range,
        UNSETTLED: not settled,
    }
    return Calibration(
        scale=scale,
        stain=stain,
        background=ground,
        focus_threshold=how.focus_share * focus,
        focus=focus,
        foreground=Foreground(np.ones((1, 1), bool), float("inf")),
        red_cell=red_cell_of(patches, ground),
        warnings=tuple(code for code, holds in said.items() if holds),
    )


def resampled(pixels: NDArray[np.uint8], mpp: float, at: float = CANONICAL_MPP) -> NDArray[np.uint8]:
    """A field's pixels, (H, W, 3) uint8 RGB of ``mpp`` um, at ``at`` um a pixel."""
    import cv2

    factor = mpp / at
    size = (max(round(pixels.shape[1] * factor), 1), max(round(pixels.shape[0] * factor), 1))
    if size == (pixels.shape[1], pixels.shape[0]):
        return pixels
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)


def _scale(shots: Sequence[Shot], scan: Scan, how: Measuring) -> Scale:
    if scan.mpp is not None:
        return Scale(scan.mpp, ScaleSource.GIVEN)
    estimated = estimate_mpp([shot.pixels for shot in shots]) if shots else None
    if estimated is not None and believable_mpp(estimated):
        return Scale(estimated, ScaleSource.ESTIMATED)
    return Scale(how.assumed_mpp, ScaleSource.ASSUMED)


def _stain(
    patches: list[NDArray[np.uint8]], ground: NDArray[np.uint8], scan: Scan, scale: Scale, how: Measuring
) -> StainFit:
    x0, y0, x1, y1 = scan.extent(scale.mpp)
    if how.method != "none" and min(x1 - x0, y1 - y0) < LEAST_SIDE_UM:
        return StainFit(reason="small")
    return how.fit_stain(patches, ground)
