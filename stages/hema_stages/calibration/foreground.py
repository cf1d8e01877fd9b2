"""Bare ground and what lies on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_DISTANCE = 8.0
FARTHEST = 30.0  # beyond it a colour is foreground anyway; else a dark white cell would set the threshold
SHARE = 0.8


def background_colour(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Estimate the bare ground's colour, (3,) uint8: the median of the brightest fifth; white where there are none."""
    flat = pixels.reshape(-1, 3)
    if not len(flat):
        return np.full(3, 255, np.uint8)
    brightness = flat.sum(axis=1, dtype=np.int32)
    return np.asarray(np.median(flat[brightness >= np.quantile(brightness, 0.8)], axis=0), np.uint8)


def foreground_mask(pixels: NDArray[np.uint8], background: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell what is not bare ground, (H, W) bool: colour distance in Lab above Otsu's threshold.

    A picture whose farthest colours are within ``LEAST_DISTANCE`` of the ground holds nothing.
    """
    import cv2

    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32)
    ground = cv2.cvtColor(background.reshape(1, 1, 3), cv2.COLOR_RGB2LAB).astype(np.float32)
    distance = np.sqrt(((lab - ground) ** 2).sum(axis=2))
    clipped = np.clip(distance, 0, FARTHEST).astype(np.uint8)
    threshold, _ = cv2.threshold(clipped, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return np.asarray(distance > max(threshold * SHARE, LEAST_DISTANCE))
