"""Numba kernels: from border pixels to outlines and their figures. They release the GIL."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

SMOOTHED = 40  # points
ELLIPSE = 24  # points


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def finish_outlines(
    points: NDArray[np.int32], bounds: NDArray[np.int64], frames: NDArray[np.int32], boxes: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Turn border pixels into outlines that enclose them, without the steps of the pixel grid.

    Every point moves half a pixel away from the centre; outlines of ``SMOOTHED`` points and more (smaller ones are
    platelets) become means over five neighbours, every second kept. A cell without points gets its box's ellipse.

    Args:
        points: (P, 2) xy in their frames, cell after cell; bounds: (N + 1,), where each cell's begin.
        frames: (N, 4) from ``mask_frames``; boxes: (N, 4) xyxy, tile pixels.

    Returns:
        Outlines (V, 2) xy, tile pixels from the box's corner, and where each begins (N + 1,); area (N,) in pixels,
        border ones included (Pick's theorem), 0 of an ellipse; centroid (N, 2) xy, tile pixels.
    """
    count = len(frames)
    limits = np.zeros(count + 1, np.int64)
    for n in range(count):
        length = bounds[n + 1] - bounds[n]
        kept = ELLIPSE if length == 0 else (length + 1) // 2 if length >= SMOOTHED else length
        limits[n + 1] = limits[n] + kept
    outlines = np.empty((limits[-1], 2), np.float64)
    area = np.zeros(count, np.float64)
    centroid = np.empty((count, 2), np.float64)
    for n in range(count):
        out = outlines[limits[n] : limits[n + 1]]
        own = points[bounds[n] : bounds[n + 1]]
        corner_x, corner_y = frames[n, 0] - np.float64(boxes[n, 0]), frames[n, 1] - np.float64(boxes[n, 1])
        if len(own) == 0:
            width, height = np.float64(boxes[n, 2] - boxes[n, 0]) / 2, np.float64(boxes[n, 3] - boxes[n, 1]) / 2
            centroid[n] = boxes[n, 0] + width, boxes[n, 1] + height
            for k in range(ELLIPSE):
                angle = 2 * np.pi * k / ELLIPSE
                out[k] = width * (1 + np.cos(angle)), height * (1 + np.sin(angle))
            continue
        doubled, x, y = polygon_moments(own)
        area[n] = abs(doubled) / 2 + len(own) / 2 + 1
        centroid[n] = frames[n, 0] + x, frames[n, 1] + y
        moved = np.empty((len(own), 2), np.float64)
        for k in range(len(own)):
            dx, dy = own[k, 0] + 0.5 - x, own[k, 1] + 0.5 - y
            away = 0.5 / max(np.hypot(dx, dy), 1e-6)
            moved[k] = corner_x + own[k, 0] + 0.5 + dx * away, corner_y + own[k, 1] + 0.5 + dy * away
        if len(own) < SMOOTHED:
            out[:] = moved
            continue
        for k in range(len(out)):
            total_x, total_y = 0.0, 0.0
            for j in range(-2, 3):
                total_x += moved[(2 * k + j) % len(own), 0]
                total_y += moved[(2 * k + j) % len(own), 1]
            out[k] = total_x / 5, total_y / 5
    return outlines, limits, area, centroid


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def polygon_moments(points: NDArray[np.int32]) -> tuple[float, float, float]:
    """Twice the signed area of a closed polygon (K, 2), and its centroid (of the points where it has no area).

    Points are middles of pixels, whose corners are whole numbers: half a pixel is added to the centroid.
    """
    doubled, x, y = 0.0, 0.0, 0.0
    for k in range(len(points)):
        x0, y0 = np.float64(points[k - 1, 0]), np.float64(points[k - 1, 1])
        x1, y1 = np.float64(points[k, 0]), np.float64(points[k, 1])
        cross = x0 * y1 - x1 * y0
        doubled += cross
        x += cross * (x0 + x1)
        y += cross * (y0 + y1)
    if doubled == 0:
        return doubled, points[:, 0].mean() + 0.5, points[:, 1].mean() + 0.5
    return doubled, x / (3 * doubled) + 0.5, y / (3 * doubled) + 0.5
