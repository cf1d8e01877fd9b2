"""Crops of a fixed physical side around cells: one function for the pipeline, training and evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    import cv2

    out = np.empty((len(centres), out_px, out_px, 3), np.uint8)
    ground = [int(value) for value in background]
    for crop, (x, y), side in zip(out, centres.tolist(), sides.tolist(), strict=True):
        samples = 2 if side > 1.5 * out_px else 1
        step = side / (out_px * samples)
        corner = (step - side) / 2 - 0.5  # middle of the first sample, from the centre
        matrix = np.array([[step, 0.0, x + corner], [0.0, step, y + corner]])
        sampled = cv2.warpAffine(
            fine,
            matrix,
            (out_px * samples, out_px * samples),
            dst=crop if samples == 1 else None,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=ground,
        )
        if samples > 1:
            cv2.resize(sampled, (out_px, out_px), dst=crop, interpolation=cv2.INTER_AREA)
    return out
