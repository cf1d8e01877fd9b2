"""Scale from red cells: the median diameter of round, isolated ones is taken as 7.5 um."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

import numpy as np
from numpy.typing import NDArray

from hema_stages.calibration.foreground import background_colour, foreground_mask
from hema_stages.calibration.surround import surround
from hema_stream.core.units import RED_CELL_DIAMETER_UM

LEAST_CELLS = 5
ALIKE = 0.15
SPREAD = 0.25
LARGEST = 64.0
"""Radius, pixels, above which a mask is shrunk before peaks are looked for: a window's cost grows with its area."""


def estimate_mpp(patches: Iterable[NDArray[np.uint8]], least: int = LEAST_CELLS) -> float | None:
    """Estimate microns a pixel of the patches, (H, W, 3) uint8 RGB each; None with fewer than ``least`` alike cells.

    Clinical reference, section 3: an estimate is circular, sizes in microns must not be reported from it.
    """
    diameters = np.concatenate([np.zeros(0), *(inscribed_diameters(patch) for patch in patches)])
    if len(diameters) < least:
        return None
    ranked = np.sort(diameters)
    alike = np.searchsorted(ranked, diameters * (1 + ALIKE), "right") - np.searchsorted(ranked, diameters * (1 - ALIKE))
    commonest = diameters[alike.argmax()]  # red cells outnumber all else that is round
    near = diameters[np.abs(diameters - commonest) <= SPREAD * commonest]
    return RED_CELL_DIAMETER_UM / float(np.median(near)) if len(near) >= least else None


def inscribed_diameters(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Measure the largest circles within the foreground, pallor filled, that keep clear of the frame; pixels.

    Peaks of the distance transform tell touching cells apart, which outlines do not.
    """
    import cv2

    outside = surround(pixels)
    mask = (foreground_mask(pixels, background_colour(pixels[~outside])) & ~outside).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = np.zeros_like(mask)
    cv2.drawContours(filled, [c for c in outlines if cv2.contourArea(c) > 30], -1, 1, -1)
    if not filled.any() or filled.all():
        return np.zeros(0)
    distance = _distance(filled)
    typical = _typical(distance)
    shrink = max(ceil(typical / LARGEST), 1)
    if shrink > 1:
        distance = _distance(filled[::shrink, ::shrink])
        typical = _typical(distance)
    return shrink * _peaks(distance, int(typical * 0.9) | 1)


def _distance(mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far each pixel is from bare ground, smoothed; the frame is none."""
    import cv2

    padded = np.pad(mask, 1, mode="edge")
    far = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.asarray(cv2.GaussianBlur(far, (0, 0), 1.0), np.float32)


def _typical(distance: NDArray[np.float32]) -> float:
    within = distance[distance > 0]
    return max(float(np.percentile(within, 95)), 3.0) if len(within) else 3.0


def _peaks(distance: NDArray[np.float32], window: int) -> NDArray[np.float64]:
    """Diameters of the largest circles, one a window, that keep clear of the frame."""
    import cv2

    highest = cv2.dilate(distance, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (window, window)))
    y, x = np.nonzero((distance == highest) & (distance > 3))
    radius = distance[y, x].astype(np.float64)
    height, width = distance.shape
    clear = (x - radius > 1) & (y - radius > 1) & (x + radius < width - 1) & (y + radius < height - 1)
    return np.asarray(2 * radius[clear])
