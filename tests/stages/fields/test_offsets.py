"""Offsets of neighbouring fields, on a picture of round cells whose true places are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hema_stages.fields.offsets import MOST_PAIRS, Neighbours, Placed, pair_offset

SIDE, STEP = 320, 240


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    drawn = np.random.default_rng(5)
    picture = np.full((700, 900), 225, np.uint8)
    for x, y, radius in zip(*drawn.integers(10, 690, (2, 240)), drawn.integers(9, 15, 240), strict=True):
        cv2.circle(picture, (int(x * 1.25), int(y)), int(radius), int(drawn.integers(110, 180)), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 1.0)


def taken(scene: np.ndarray, x: int, y: int, dx: int = 0, dy: int = 0) -> Placed:
    """A field that is told to lie at (x, y) and really lies (dx, dy) further."""
    return Placed(np.ascontiguousarray(scene[y + dy : y + dy + SIDE, x + dx : x + dx + SIDE]), float(x), float(y))


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (4, 0), (0, -7), (-9, 5), (12, 12)])
@pytest.mark.parametrize("place", [(STEP, 0), (0, STEP)])
def test_the_shift_is_the_error_of_the_stage(scene: np.ndarray, place: tuple[int, int], dx: int, dy: int) -> None:
    first, second = taken(scene, 20, 20), taken(scene, 20 + place[0], 20 + place[1], dx, dy)
    offset = pair_offset(first, second)
    assert offset == pytest.approx((dx, dy), abs=0.5)


def test_a_place_between_two_pixels_is_not_taken_for_an_error(scene: np.ndarray) -> None:
    first, second = taken(scene, 20, 20), taken(scene, 20 + STEP, 20, 0, 0)
    moved = Placed(second.gray, second.x + 0.4, second.y - 0.3)
    assert pair_offset(first, moved) == pytest.approx((-0.4, 0.3), abs=0.3)


def test_bare_ground_strangers_and_a_sliver_are_not_measured(scene: np.ndarray) -> None:
    first = taken(scene, 20, 20)
    bare = Placed(np.full((SIDE, SIDE), 225, np.uint8), 20.0 + STEP, 20.0)
    noise = np.random.default_rng(1).integers(0, 255, (SIDE, SIDE)).astype(np.uint8)
    assert pair_offset(first, bare) is None
    assert pair_offset(first, Placed(noise, 20.0 + STEP, 20.0)) is None
    assert pair_offset(first, taken(scene, 20 + SIDE - 10, 20)) is None


def test_an_offset_over_the_limit_is_refused_and_counted(scene: np.ndarray) -> None:
    near = Neighbours(most_um=2.0, most_bytes=1 << 20)
    near.add(0, taken(scene, 20, 20))
    assert near.add(1, taken(scene, 20 + STEP, 20, 12, 0)) == {}
    assert (near.measured, near.refused, near.widest) == (0, 1, 0.0)


def test_whichever_came_first_the_offset_is_the_same_but_for_its_sign(scene: np.ndarray) -> None:
    first, second = taken(scene, 20, 20), taken(scene, 20 + STEP, 20, 5, -3)
    forth, back = Neighbours(5.0, 1 << 20), Neighbours(5.0, 1 << 20)
    forth.add(0, first)
    back.add(1, second)
    there, here = forth.add(1, second)[0], back.add(0, first)[1]
    assert there == (-here[0], -here[1])
    assert there == pytest.approx((5, -3), abs=0.5)
    assert forth.widest == pytest.approx(np.hypot(5, 3) * 0.25, abs=0.2)


def test_past_its_bytes_the_oldest_picture_goes(scene: np.ndarray) -> None:
    near = Neighbours(5.0, SIDE * SIDE)
    near.add(0, taken(scene, 20, 20))
    near.add(1, taken(scene, 400, 300))
    assert near.add(2, taken(scene, 20, 20 + STEP)) == {}


def test_of_many_fields_in_one_place_only_some_are_measured(scene: np.ndarray) -> None:
    near = Neighbours(5.0, 64 << 20)
    for index in range(16):
        near.add(index, taken(scene, 20 + index, 20))
    assert len(near.add(16, taken(scene, 40, 20))) == MOST_PAIRS
    assert near.unclear == 4 + sum(range(4))
