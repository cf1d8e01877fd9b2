"""Crops whose ground and density tell no laboratory: bare ground to white, the slide's red cells to one density.

Optical density is taken against the slide's own ground (Beer and Lambert) and scaled by channel, so that the slide's
median red cell has the density of the reference. Each channel's map depends on its own value alone, so it is a table.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REFERENCE_DENSITY = np.array([0.10, 0.20, 0.11], np.float32)
"""Decadic optical density of the reference's median red cell: red, green, blue."""
LEAST_TISSUE, LEAST_PIXELS = 0.04, 100
NOISE = 4.0  # standard deviations of the ground
BINS, SMOOTHED = np.geomspace(0.04, 1.2, 103), 11
AROUND = (0.6, 1.5)
"""Densities, as shares of the commonest, that are taken for red cells."""
BLACK = 12  # a sum of three channels at or under which a pixel shows no light: an eyepiece's border, a cut-out cell
SCALE_RANGE = (0.4, 2.5)


def red_cell_density(pixels: NDArray[np.uint8], ground: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Median decadic optical density of the red cells that pixels show, (3,) float32; None where they show too few.

    On a smear the commonest green density above the ground's is the red cells'; the median is taken around it, so that
    white cells, which are darker, do not matter.

    Args:
        pixels: (N, 3) or (H, W, 3) uint8 RGB.
        ground: (3,) uint8 colour of bare ground.
    """
    flat = pixels.reshape(-1, 3)
    flat = flat[flat.sum(axis=1, dtype=np.int32) > BLACK]
    if len(flat) < 200:
        return None
    density = optical_density(flat, ground)
    green = density[:, 1]
    below = green[green < 0]  # the ground's own spread, seen on its brighter side
    least = max(LEAST_TISSUE, NOISE * float(np.sqrt(np.mean(below**2))) if len(below) else 0.0)
    counts = np.histogram(green[green > least], BINS)[0].astype(np.float64)
    if counts.sum() < LEAST_PIXELS:
        return None
    smooth = np.convolve(counts, np.hanning(SMOOTHED + 2)[1:-1], mode="same")
    mode = float(np.sqrt(BINS[int(smooth.argmax())] * BINS[int(smooth.argmax()) + 1]))
    around = density[(green > mode * AROUND[0]) & (green < mode * AROUND[1])]
    return np.asarray(np.median(around, axis=0), np.float32)


def optical_density(pixels: NDArray[np.uint8], ground: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Decadic optical density against the bare ground, of the shape of ``pixels``, float32."""
    return np.asarray(-np.log10((pixels.astype(np.float32) + 1) / (ground.astype(np.float32) + 1)), np.float32)


def density_table(ground: NDArray[np.uint8], red_cell: NDArray[np.float32] | None) -> NDArray[np.uint8]:
    """Table (256, 3) uint8 that maps a channel's value to the reference's ground and density.

    Args:
        ground: (3,) uint8 colour of bare ground.
        red_cell: (3,) density of the median red cell; None leaves densities as they are.
    """
    values = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    density = optical_density(values, ground)
    if red_cell is not None:
        density = density * density_scale(red_cell)
    return np.clip(np.round(256 * 10.0**-density - 1), 0, 255).astype(np.uint8)


def look_table(
    ground: NDArray[np.uint8],
    tissue: NDArray[np.float32],
    other_ground: NDArray[np.uint8],
    other_tissue: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """Table (256, 3) uint8 that gives a picture the ground and the densities of another.

    Args:
        ground, other_ground: (3,) uint8 colours of bare ground.
        tissue, other_tissue: (3,) densities by channel that are made alike, see ``tissue_density``.
    """
    values = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    scale = np.clip(other_tissue / np.maximum(tissue, 1e-3), *SCALE_RANGE)
    out = (other_ground.astype(np.float32) + 1) * 10.0 ** -(optical_density(values, ground) * scale) - 1
    return np.clip(np.round(out), 0, 255).astype(np.uint8)


def tissue_density(crops: NDArray[np.uint8], grounds: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Decadic optical density that a tenth of each crop exceeds, by channel: (N, S, S, 3) and (N, 3) to (N, 3)."""
    thin = crops[:, ::4, ::4].reshape(len(crops), -1, 3)
    lowest = np.percentile(thin, 10, axis=1)
    return np.asarray(-np.log10((lowest + 1) / (grounds.astype(np.float32) + 1)), np.float32)


def density_scale(red_cell: NDArray[np.float32]) -> np.float32:
    """Factor that takes a red cell's green density to the reference's."""
    return np.float32(np.clip(REFERENCE_DENSITY[1] / max(float(red_cell[1]), 1e-3), *SCALE_RANGE))


def normalise(crops: NDArray[np.uint8], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Map crops (..., 3) uint8 RGB through a table (256, 3)."""
    import cv2

    flat = np.ascontiguousarray(crops).reshape(-1, crops.shape[-2], 3)
    return np.asarray(cv2.LUT(flat, np.ascontiguousarray(table).reshape(1, 256, 3)), np.uint8).reshape(crops.shape)
