"""From packed masks to outlines and shape figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.units import CONTOUR_UNIT

NOTHING = np.zeros((0, 1, 2), np.int32)


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
    from hema_stages.segment.outline_kernels import finish_outlines

    pieces = [
        _largest_piece(packed[start:end].reshape(y1 - y0, x1 - x0))
        for start, end, (x0, y0, x1, y1) in zip(starts[:-1].tolist(), starts[1:].tolist(), frames.tolist(), strict=True)
    ]
    bounds = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).astype(np.int64)
    points = np.concatenate([*pieces, np.zeros((0, 2), np.int32)])
    corners, limits, area, centroid = finish_outlines(points, bounds, frames, boxes)
    hulls = np.array([_hull_area(piece) for piece in pieces], np.float64)
    solidity = np.divide(area, hulls, out=np.ones(len(area)), where=hulls > 0)
    return Shapes(
        np.round(corners / CONTOUR_UNIT).astype(np.int16),
        limits,
        area.astype(np.float32),
        np.minimum(solidity, 1.0).astype(np.float32),
        centroid,
    )


def _largest_piece(mask: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Border pixels (K, 2) xy of a mask's largest piece, in its frame; empty where it has none of three pixels."""
    import cv2

    pieces, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    piece = pieces[0] if len(pieces) == 1 else max(pieces, key=cv2.contourArea, default=NOTHING)
    return np.asarray(piece[:, 0] if len(piece) > 2 else NOTHING[:, 0])


def _hull_area(piece: NDArray[np.int32]) -> float:
    """Area of a piece's convex hull in pixels, border ones included; 0 of nothing."""
    import cv2

    if not len(piece):
        return 0.0
    hull = cv2.convexHull(piece)
    return float(cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1)
