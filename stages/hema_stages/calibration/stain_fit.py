"""Fitting a slide's stain: two vectors (Macenko et al., ISBI 2009) or colour moments (Reinhard et al., 2001)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.calibration import MacenkoFit, ReinhardFit, StainFit

LEAST_DENSITY = 0.15
ANGLE_PERCENT = 1.0
LEAST_PIXELS = 2000
LEAST_SIDE_UM = 60.0
LEAST_COMPONENT = -0.3  # a stain that brightens a channel by more is none
RED_CELL_PERCENT = 60.0  # of tissue, lightest first: what is left when nuclei and overlaps are set aside
LEAST_DEVIATION = 1.0  # grey levels; what is flatter would only have its noise stretched


@dataclass(frozen=True)
class StainLimits:
    """What normalisation was made for.

    Attributes:
        low, high: 99th percentile concentration of either stain, decadic optical density.
        angle: least angle between the two stains, degrees; nearer ones cannot be told apart.
        green: least share of green in the mean density's direction; Romanowsky dyes absorb green most.
    """

    low: float = 0.1
    high: float = 3.0
    angle: float = 4.0
    green: float = 0.5


def optical_density(pixels: NDArray[np.uint8], background: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Optical density against the bare ground, (N, 3) float32."""
    flat = pixels.reshape(-1, 3).astype(np.float32)
    return np.asarray(-np.log10((flat + 1) / (background.astype(np.float32) + 1)), np.float32)


def fit_macenko(pixels: NDArray[np.uint8], background: NDArray[np.uint8], limits: StainLimits) -> StainFit:
    """Fit two stain vectors to sampled tissue, and the density of its red cells.

    Args:
        pixels: (N, 3) or (H, W, 3) uint8 RGB.
        background: (3,) uint8 colour of bare ground.
        limits: beyond them a fit is out of range.
    """
    density = optical_density(pixels, background)
    density = density[(density > LEAST_DENSITY).any(axis=1)]
    if len(density) < LEAST_PIXELS:
        return StainFit(reason="too little tissue")
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
    reason = _out_of_range(matrix, strength, density.mean(axis=0), limits)
    return MacenkoFit(
        matrix=matrix, strength=strength, red_cells=_red_cells(density), in_range=not reason, reason=reason
    )


def _red_cells(density: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median density by channel of the lighter part of the tissue, which on a smear is red cells."""
    total = density.sum(axis=1)
    return np.asarray(np.median(density[total <= np.percentile(total, RED_CELL_PERCENT)], axis=0), np.float32)


def _out_of_range(
    matrix: NDArray[np.float32], strength: NDArray[np.float32], mean: NDArray[np.float32], limits: StainLimits
) -> str:
    """Say why a fit is out of range; empty where it is within."""
    # First of all: between two vectors that are one, the strengths are any split.
    if np.degrees(np.arccos(np.clip(matrix[:, 0] @ matrix[:, 1], -1, 1))) < limits.angle:
        return "one stain where there should be two"
    if (strength < limits.low).any():
        return "stain too weak"
    if (strength > limits.high).any():
        return "stain too strong"
    if mean[1] / np.linalg.norm(mean) < limits.green or (matrix <= LEAST_COMPONENT).any():
        return "colours are not those of a Romanowsky stain"
    return ""


def fit_reinhard(pixels: NDArray[np.uint8], background: NDArray[np.uint8]) -> StainFit:
    """Measure mean and deviation of sampled tissue in L*a*b*; tissue without any contrast is out of range.

    Args:
        pixels: (N, 3) or (H, W, 3) uint8 RGB.
        background: (3,) uint8 colour of bare ground.
    """
    import cv2

    flat = pixels.reshape(-1, 3)
    tissue = flat[(optical_density(flat, background) > LEAST_DENSITY).any(axis=1)]
    if len(tissue) < LEAST_PIXELS:
        return StainFit(reason="too little tissue")
    lab = cv2.cvtColor(tissue[None], cv2.COLOR_RGB2LAB)[0].astype(np.float32)
    mean, deviation = lab.mean(axis=0), lab.std(axis=0)
    in_range = bool((deviation >= LEAST_DEVIATION).all())
    return ReinhardFit(
        mean=mean, deviation=deviation, in_range=in_range, reason="" if in_range else "stain out of range"
    )
