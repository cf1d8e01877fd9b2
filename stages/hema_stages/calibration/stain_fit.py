"""Stain vectors of a slide (Macenko et al., ISBI 2009)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.calibration import StainFit

LEAST_DENSITY = 0.15
ANGLE_PERCENT = 1.0
LEAST_PIXELS = 2000
LEAST_SIDE_UM = 60.0


def no_stain(reason: str) -> StainFit:
    """A fit that leaves colours alone."""
    return StainFit("none", np.zeros((3, 0), np.float32), np.zeros(0, np.float32), True, reason)


def optical_density(pixels: NDArray[np.uint8], background: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Optical density against the bare ground, (N, 3) float32."""
    flat = pixels.reshape(-1, 3).astype(np.float32)
    return np.asarray(-np.log10((flat + 1) / (background.astype(np.float32) + 1)), np.float32)


def fit_macenko(pixels: NDArray[np.uint8], background: NDArray[np.uint8], limits: tuple[float, float]) -> StainFit:
    """Fit two stain vectors to sampled tissue.

    Args:
        pixels: (N, 3) or (H, W, 3) uint8 RGB.
        background: (3,) uint8 colour of bare ground.
        limits: least and greatest 99th percentile concentration that normalisation was made for.
    """
    density = optical_density(pixels, background)
    density = density[(density > LEAST_DENSITY).any(axis=1)]
    if len(density) < LEAST_PIXELS:
        return no_stain("too little tissue")
    _, vectors = np.linalg.eigh(np.cov(density.T))
    plane = vectors[:, [2, 1]].astype(np.float32)
    plane *= np.where(plane.sum(axis=0) < 0, -1, 1).astype(np.float32)
    projected = density @ plane
    angles = np.arctan2(projected[:, 1], projected[:, 0])
    low, high = np.percentile(angles, [ANGLE_PERCENT, 100 - ANGLE_PERCENT])
    ends = np.stack([plane @ (np.cos(a), np.sin(a)) for a in (low, high)], axis=1)
    if ends[0, 0] < ends[0, 1]:  # the stain that absorbs more red (the nuclear one) comes first
        ends = ends[:, ::-1]
    matrix = np.ascontiguousarray(ends / np.linalg.norm(ends, axis=0), np.float32)
    concentration = np.linalg.lstsq(matrix, density.T, rcond=None)[0]
    strength = np.percentile(concentration, 99, axis=1).astype(np.float32)
    in_range = bool((strength >= limits[0]).all() and (strength <= limits[1]).all() and (matrix > -0.3).all())
    return StainFit("macenko", matrix, strength, in_range, "" if in_range else "stain out of range")
