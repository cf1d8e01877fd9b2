"""Crops of a fixed physical side around cells: one function for the pipeline, training and evaluation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hema_stream.core.slide import Scale

WIDEN = 1.25


def crop_sides(
    boxes: NDArray[np.float64], scale: Scale, side_um: float, widen: float = WIDEN
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Choose each crop's side: the stream's own, or ``widen`` times the larger side of the box where that is larger.

    Args:
        boxes: (N, 4) xyxy, level-0 pixels.

    Returns:
        Sides (N,) in microns, and how many times the stream's own side each is (N,).
    """
    larger = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0) * scale.mpp * widen
    sides = np.maximum(larger, side_um)
    return sides, (sides / side_um).astype(np.float32)


def gather_crops(
    fine: NDArray[np.uint8],
    centres: NDArray[np.float64],
    sides: NDArray[np.float64],
    out_px: int,
    background: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Cut squares and resample them bilinearly, with 2 x 2 samples a pixel where they shrink by more than 1.5.

    Args:
        fine: (H, W, 3) uint8 RGB.
        centres: (N, 2) xy in pixels of ``fine``, whose first pixel's middle is at 0.5.
        sides: (N,) in pixels of ``fine``.
        out_px: side of the crops in pixels.
        background: (3,) uint8, for what lies outside.

    Returns:
        (N, out_px, out_px, 3) uint8 RGB.
    """
    out = np.empty((len(centres), out_px, out_px, 3), np.uint8)
    _kernel()(
        fine, np.asarray(centres, np.float64), np.asarray(sides, np.float64), out, np.asarray(background, np.uint8)
    )
    return out


@cache
def _kernel() -> Callable[..., None]:
    from numba import njit

    compiled: Callable[..., None] = njit(cache=True, nogil=True, fastmath=True)(_gather)
    return compiled


def _gather(fine: Any, centres: Any, sides: Any, out: Any, background: Any) -> None:
    height, width = fine.shape[0], fine.shape[1]
    count, side_px = out.shape[0], out.shape[1]
    for n in range(count):
        step = sides[n] / side_px
        samples = 2 if step > 1.5 else 1
        left = centres[n, 0] - sides[n] / 2 - 0.5
        top = centres[n, 1] - sides[n] / 2 - 0.5
        for v in range(side_px):
            for u in range(side_px):
                red, green, blue = 0.0, 0.0, 0.0
                for b in range(samples):
                    y = top + (v + (b + 0.5) / samples) * step
                    y0 = int(np.floor(y))
                    wy = y - y0
                    for a in range(samples):
                        x = left + (u + (a + 0.5) / samples) * step
                        x0 = int(np.floor(x))
                        wx = x - x0
                        for j in range(2):
                            weight_y = wy if j else 1.0 - wy
                            row = y0 + j
                            for i in range(2):
                                weight = weight_y * (wx if i else 1.0 - wx)
                                column = x0 + i
                                if 0 <= row < height and 0 <= column < width:
                                    red += weight * fine[row, column, 0]
                                    green += weight * fine[row, column, 1]
                                    blue += weight * fine[row, column, 2]
                                else:
                                    red += weight * background[0]
                                    green += weight * background[1]
                                    blue += weight * background[2]
                total = samples * samples
                out[n, v, u, 0] = int(red / total + 0.5)
                out[n, v, u, 1] = int(green / total + 0.5)
                out[n, v, u, 2] = int(blue / total + 0.5)
