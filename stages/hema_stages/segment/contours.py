"""From packed masks to outlines and shape figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.units import CONTOUR_UNIT


@dataclass(frozen=True, eq=False)
class Shapes:
    """Outlines of N cells of one tile.

    Attributes:
        vertices: (V, 2) int16 in steps of ``CONTOUR_UNIT`` tile pixels from the box's corner.
        starts: (N + 1,) int64.
        area: (N,) float32 pixels of the largest piece; 0 where the mask is empty.
        solidity: (N,) float32 area over that of the convex hull, 0..1.
        centroid: (N, 2) float64 xy, tile pixels; the box's centre where the mask is empty.
    """

    vertices: NDArray[np.int16]
    starts: NDArray[np.int64]
    area: NDArray[np.float32]
    solidity: NDArray[np.float32]
    centroid: NDArray[np.float64]


def trace(
    packed: NDArray[np.uint8], frames: NDArray[np.int32], starts: NDArray[np.int64], boxes: NDArray[np.float32]
) -> Shapes:
    """Trace the largest piece of every packed mask (see ``kernels.decode_masks``).

    OpenCV walks through the centres of border pixels; vertices are moved half a pixel outwards, so that the outline
    encloses the pixels. A cell without a mask gets its box's ellipse.
    """
    count = len(frames)
    outlines: list[NDArray[np.int16]] = []
    area, solidity = np.zeros(count, np.float32), np.ones(count, np.float32)
    centroid = ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.float64)
    for i in range(count):
        x0, y0, x1, y1 = frames[i]
        mask = packed[starts[i] : starts[i + 1]].reshape(y1 - y0, x1 - x0)
        points, figures = _outline(mask)
        if points is None:
            points = _ellipse(boxes[i]) - (x0, y0)
        else:
            area[i], solidity[i] = figures[0], figures[1]
            centroid[i] = (x0 + figures[2], y0 + figures[3])
        steps = (points + frames[i, :2] - boxes[i, :2]) / CONTOUR_UNIT
        outlines.append(np.round(steps).astype(np.int16))
    lengths = np.array([len(outline) for outline in outlines], np.int64)
    vertices = np.concatenate(outlines) if outlines else np.zeros((0, 2), np.int16)
    return Shapes(vertices, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), area, solidity, centroid)


def _outline(mask: NDArray[np.uint8]) -> tuple[NDArray[np.float64] | None, tuple[float, float, float, float]]:
    """Trace one mask: points (K, 2) xy in its frame, and area, solidity, centroid x and y."""
    import cv2

    pieces, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not pieces:
        return None, (0.0, 1.0, 0.0, 0.0)
    piece = max(pieces, key=len) if len(pieces) < 2 else max(pieces, key=cv2.contourArea)
    points = piece[:, 0].astype(np.float64) + 0.5
    enclosed = float(cv2.contourArea(piece) + len(piece) / 2 + 1)  # Pick's theorem: pixels, border ones included
    if len(points) < 3:
        return None, (0.0, 1.0, 0.0, 0.0)
    hull = cv2.convexHull(piece)
    hull_area = cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1
    moments = cv2.moments(piece)
    centre = points.mean(axis=0)
    if moments["m00"] > 0:
        centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"] + 0.5
    away = points - centre
    points = smooth(points + 0.5 * away / np.maximum(np.hypot(away[:, :1], away[:, 1:]), 1e-6))
    return points, (enclosed, min(enclosed / hull_area, 1.0), float(centre[0]), float(centre[1]))


def smooth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take the steps of the pixel grid out of a closed outline (K, 2): a mean over five neighbours, every second kept.

    Outlines of fewer than 40 points (platelets) are left as they are.
    """
    if len(points) < 40:
        return points
    ring = np.concatenate([points[-2:], points, points[:2]])
    total = np.cumsum(np.concatenate([np.zeros((1, 2)), ring]), axis=0)
    return np.asarray((total[5:] - total[:-5])[::2] / 5)


def _ellipse(box: NDArray[np.float32], points: int = 24) -> NDArray[np.float64]:
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    centre, radii = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    return np.asarray(centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii, np.float64)
