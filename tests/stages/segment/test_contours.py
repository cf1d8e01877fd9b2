"""Outlines enclose the pixels that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hema_stages.segment.contours import trace
from shapely.geometry import Polygon

from hema_stream.core.units import CONTOUR_UNIT


def disc(radius: float, side: int) -> np.ndarray:
    y, x = np.mgrid[0:side, 0:side] + 0.5
    return ((x - side / 2) ** 2 + (y - side / 2) ** 2 <= radius**2).astype(np.uint8)


def trace_one(mask: np.ndarray, corner: tuple[int, int] = (7, 11)):
    height, width = mask.shape
    frame = np.array([[corner[0], corner[1], corner[0] + width, corner[1] + height]], np.int32)
    return trace(mask.ravel(), frame, np.array([0, mask.size]), frame.astype(np.float32))


@pytest.mark.parametrize("radius", [4.0, 8.0, 15.0, 40.0])
def test_a_disc_keeps_its_area_centre_and_convexity(radius: float) -> None:
    mask = disc(radius, int(2 * radius) + 6)
    shapes = trace_one(mask)
    outline = Polygon(shapes.vertices * CONTOUR_UNIT)
    assert outline.area == pytest.approx(mask.sum(), rel=0.06)
    assert shapes.area[0] == pytest.approx(mask.sum(), rel=0.03)
    assert shapes.solidity[0] > 0.9
    assert shapes.centroid[0] == pytest.approx([7 + mask.shape[1] / 2, 11 + mask.shape[0] / 2], abs=0.1)


def test_a_crescent_is_less_solid_than_a_disc() -> None:
    mask = disc(20, 46)
    mask[:, 23:] = 0
    mask[13:33, 12:23] = 0
    assert trace_one(mask).solidity[0] < 0.75


def test_the_largest_piece_counts() -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[2:22, 2:22] = 1
    mask[25:28, 34:38] = 1
    assert trace_one(mask).area[0] == pytest.approx(400, rel=0.01)


def test_an_empty_mask_gets_its_boxes_ellipse_and_no_area() -> None:
    shapes = trace_one(np.zeros((20, 30), np.uint8))
    assert shapes.area[0] == 0
    assert Polygon(shapes.vertices * CONTOUR_UNIT).area == pytest.approx(np.pi * 15 * 10, rel=0.03)


def test_no_cells_give_empty_arrays() -> None:
    shapes = trace(
        np.zeros(0, np.uint8), np.zeros((0, 4), np.int32), np.zeros(1, np.int64), np.zeros((0, 4), np.float32)
    )
    assert shapes.vertices.shape == (0, 2)
    assert shapes.starts.tolist() == [0]
