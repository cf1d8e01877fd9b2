"""What a picture shows besides the film: the black around an eyepiece's circle, and black frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLACK = 24
"""Grey levels that no channel exceeds where no light came; nuclei let some of one colour through."""
BLURRED = 7
"""Pixels around it over which its edge is blurred and compression rings."""


def surround(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell what is black and reaches the border, with its blurred edge: (H, W) bool of (H, W, 3) uint8 RGB."""
    import cv2

    black = (pixels.max(axis=2) <= BLACK).astype(np.uint8)
    if not black.any():
        return np.zeros(black.shape, bool)
    _, labels = cv2.connectedComponents(black, connectivity=8)
    border = np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    outside = np.zeros(int(labels.max()) + 1, bool)
    outside[border] = True
    outside[0] = False
    dark = outside[np.asarray(labels)].astype(np.uint8)
    return np.asarray(cv2.dilate(dark, np.ones((BLURRED, BLURRED), np.uint8)), bool)


def without_surround(pixels: NDArray[np.uint8], ground: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Show bare ground, (3,) uint8, where there is nothing of the film; the same pixels where all is film."""
    mask = surround(pixels)
    return np.where(mask[..., None], ground, pixels) if mask.any() else pixels
