"""Scale from red cells: the median diameter of round, isolated ones is taken as 7.5 um."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hema_stages.calibration.foreground import background_colour, foreground_mask
from hema_stream.core.units import RED_CELL_DIAMETER_UM

LEAST_CELLS = 5
ROUND = 0.85
SOLID = 0.93
SPREAD = 0.35


def estimate_mpp(patches: Iterable[NDArray[np.uint8]], least: int = LEAST_CELLS) -> float | None:
    """Estimate microns a pixel of the patches, (H, W, 3) uint8 RGB each; None with fewer than ``least`` round cells.

    Clinical reference, section 3: an estimate is circular, sizes in microns must not be reported from it.
    """
    diameters = np.concatenate([np.zeros(0), *(round_diameters(patch) for patch in patches)])
    if len(diameters) < least:
        return None
    middle = _mode(diameters)
    near = diameters[np.abs(diameters - middle) <= SPREAD * middle]
    return RED_CELL_DIAMETER_UM / float(np.median(near)) if len(near) >= least else None


def round_diameters(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Measure the equivalent diameters of round blobs that touch neither the frame nor another, in pixels."""
    import cv2

    mask = foreground_mask(pixels, background_colour(pixels)).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    height, width = mask.shape
    found = []
    for contour in contours:
        x, y, w, h = cv2.boundingRect(contour)
        area = cv2.contourArea(contour) + len(contour) / 2 + 1
        cut = x <= 0 or y <= 0 or x + w >= width or y + h >= height
        if cut or area < 80 or min(w, h) < ROUND * max(w, h):
            continue
        hull = cv2.contourArea(cv2.convexHull(contour)) + len(contour) / 2 + 1
        if area >= SOLID * hull:
            found.append(np.sqrt(4 * area / np.pi))
    return np.array(found, np.float64)


def _mode(diameters: NDArray[np.float64]) -> float:
    """The diameter with most others within 15%: red cells outnumber everything else that is round."""
    near = np.abs(diameters[:, None] - diameters[None]) <= 0.15 * diameters[:, None]
    weight = near.sum(axis=1)
    return float(np.median(diameters[weight >= weight.max()]))
