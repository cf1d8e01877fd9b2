"""Jitter of classifier crops: place, size, turn, colour, light, sharpness, borders."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hema_models.normalising import density_table, normalise
from hema_models.training.crops import WINDOW
from hema_models.views import green_alone


@dataclass(frozen=True)
class Jitter:
    """How far crops are changed; shares of the side, degrees of hue, factors.

    White cells get the fine setting, which keeps what tells their stages apart, and in turn the wide and the hard one;
    the hard one stands for the cameras and stains of other laboratories. Red cells, told by pallor and size, get the
    mild one. ``contrast`` is what is left of it under a veil of one colour. Half of the crops are widened by up to
    ``widen``, as the pipeline widens those of cells that are too large for the square. ``rough`` is how often a crop is
    shrunk, compressed and enlarged again, as by an old camera; ``white`` how often its ground is divided to white;
    ``green`` how often the density of green alone is shown, in all three channels.
    """

    shift: float
    scale: float
    hue: float
    saturation: tuple[float, float]
    value: tuple[float, float]
    gamma: tuple[float, float]
    blur: float
    grey: float
    shading: float
    cut: float = 0.25
    widen: float = 0.0
    contrast: tuple[float, float] = (1.0, 1.0)
    rough: float = 0.0
    white: float = 0.0
    green: float = 0.0


FINE = Jitter(0.05, 0.08, 8.0, (0.7, 1.3), (0.8, 1.2), (0.85, 1.2), 1.0, 0.0, 0.1, 0.1, widen=0.3)
MILD = Jitter(0.05, 0.06, 14.0, (0.5, 1.5), (0.7, 1.25), (0.8, 1.25), 1.2, 0.05, 0.15)
WIDE = replace(MILD, widen=0.3)
HARD = Jitter(0.06, 0.10, 43.0, (0.2, 1.8), (0.5, 1.4), (0.7, 1.4), 2.5, 0.1, 0.25, widen=0.3, contrast=(0.3, 1.2))
FAR_WIDE = replace(WIDE, rough=0.3, white=0.3)
FAR_HARD = replace(HARD, rough=0.4, white=0.2)
DENSE = replace(MILD, green=0.35, rough=0.2, gamma=(0.85, 1.2), value=(0.85, 1.1))
DENSE_HARD = replace(HARD, green=0.35, rough=0.3, contrast=(0.6, 1.2))
HAZE, HAZE_HUE = (90.0, 190.0), 20.0
"""Grey levels of the veil that a loss of contrast draws colours to, and by how much its channels differ."""


def jitter(
    window: NDArray[np.uint8], ground: NDArray[np.uint8], side: int, how: Jitter, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Cut one jittered crop (side, side, 3) uint8 out of a window; ``ground`` (3,) fills what lies outside."""
    crop = _place(window, ground, side, how, rng)
    if rng.random() < how.cut:
        _cut_border(crop, ground, rng)
    if how.white and rng.random() < how.white:
        crop = normalise(crop, density_table(ground, None))
    if how.green and rng.random() < how.green:
        crop = green_alone(crop)
    crop = _sharpness(_colour(crop, how, rng), how, rng)
    return _rough(crop, rng) if how.rough and rng.random() < how.rough else crop


def _rough(crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Shrink, compress as JPEG, and enlarge again."""
    import cv2

    side = len(crop)
    small = max(round(side / rng.uniform(1.0, 3.0)), 16)
    out = cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.7:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))]
        out = cv2.imdecode(cv2.imencode(".jpg", out, quality)[1], cv2.IMREAD_COLOR)
    how = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(out, (side, side), interpolation=how), np.uint8)


def centre(windows: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Cut the plain crops (N, side, side, 3) out of the middles of windows."""
    start = (windows.shape[1] - side) // 2
    return windows[:, start : start + side, start : start + side]


def _place(
    window: NDArray[np.uint8], ground: NDArray[np.uint8], side: int, how: Jitter, rng: np.random.Generator
) -> NDArray[np.uint8]:
    import cv2

    angle = rng.uniform(0, 2 * np.pi)
    factor = float(np.exp(rng.normal(0, how.scale)))
    if rng.random() < 0.5:
        factor /= rng.uniform(1.0, 1.0 + how.widen)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = np.cos(angle) / factor, np.sin(angle) / factor
    turn = np.array([[cos * mirror, -sin], [sin * mirror, cos]])
    middle = side * WINDOW / 2 + rng.uniform(-how.shift, how.shift, 2) * side
    matrix = np.column_stack([turn, middle - turn @ np.array([side / 2, side / 2])])
    return np.asarray(
        cv2.warpAffine(
            window,
            matrix,
            (side, side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=[int(v) for v in ground],
        ),
        np.uint8,
    )


def _cut_border(crop: NDArray[np.uint8], ground: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Fill up to a fifth from one or two sides, as at a picture's border."""
    side = len(crop)
    for edge in rng.choice(4, size=rng.integers(1, 3), replace=False):
        depth = int(rng.uniform(0, 0.2) * side)
        view = np.rot90(crop, int(edge))
        view[:depth] = ground


def _colour(crop: NDArray[np.uint8], how: Jitter, rng: np.random.Generator) -> NDArray[np.uint8]:
    import cv2

    hsv = cv2.cvtColor(crop, cv2.COLOR_RGB2HSV)
    ramp = np.arange(256, dtype=np.float32)
    hue = (ramp + rng.uniform(-how.hue, how.hue) / 2) % 180
    saturation = np.clip(ramp * rng.uniform(*how.saturation), 0, 255)
    value = 255 * np.clip(ramp / 255 * rng.uniform(*how.value), 0, 1) ** rng.uniform(*how.gamma)
    tables = [hue.astype(np.uint8), saturation.astype(np.uint8), value.astype(np.uint8)]
    merged = cv2.merge([cv2.LUT(channel, table) for channel, table in zip(cv2.split(hsv), tables, strict=True)])
    out = cv2.cvtColor(merged, cv2.COLOR_HSV2RGB)
    if rng.random() < how.grey:
        out = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.3:
        side = len(out)
        slope = np.linspace(-1, 1, side, dtype=np.float32) * rng.uniform(-how.shading, how.shading)
        light = 1 + (slope[:, None] if rng.random() < 0.5 else slope[None]) * np.ones((side, side), np.float32)
        out = np.clip(out * light[..., None], 0, 255).astype(np.uint8)
    contrast = rng.uniform(*how.contrast)
    if contrast != 1.0:
        haze = rng.uniform(*HAZE) + rng.normal(0, HAZE_HUE, 3)
        out = np.clip(out * np.float32(contrast) + np.float32(1 - contrast) * haze, 0, 255).astype(np.uint8)
    return np.asarray(out, np.uint8)


def _sharpness(crop: NDArray[np.uint8], how: Jitter, rng: np.random.Generator) -> NDArray[np.uint8]:
    import cv2

    if rng.random() < 0.3:
        return np.asarray(cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.3, how.blur)), np.uint8)
    if rng.random() < 0.2:
        noisy = crop + rng.normal(0, rng.uniform(1, 8), crop.shape)
        return np.asarray(np.clip(noisy, 0, 255), np.uint8)
    return crop
