"""A classifier's second look at the cells of which it is not sure: mirror images, or the density of green alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hema_models.calibration import softmax

MIRRORS = ((), (2,), (1,), (1, 2))  # axes of (N, H, W, 3) that are reversed: none, left and right, up and down, both

Pixels = NDArray[np.uint8]


class Answers(NamedTuple):
    """What a network says of N crops: logits (N, C) and the features (N, F) that they are made of, float32."""

    logits: NDArray[np.float32]
    features: NDArray[np.float32]


def answer_by_views(
    answer: Callable[[Pixels], Answers],
    pixels: Pixels,
    views: int,
    sure: float,
    second_look: Literal["mirrors", "green"] = "mirrors",
) -> Answers:
    """Answers for crops: the first view's where it is sure, else the mean over ``views`` views.

    A cell has no upright, so each mirror image is as good a question as the other (test-time augmentation).

    Args:
        answer: gives the answers for any number of crops (M, S, S, 3).
        pixels: (N, S, S, 3) uint8 RGB.
        views: 1, 2 or 4 images; ``green`` has one besides the first, whatever the number above 1.
        sure: probability of the best class, untempered, above which the first view stands alone; 1 asks all of all.
    """
    first = answer(pixels)
    if views == 1 or not len(pixels):
        return first
    asked = np.flatnonzero(softmax(first.logits).max(axis=1) <= sure)
    if not len(asked):
        return first
    others = further(pixels[asked], views, second_look)
    more = answer(np.concatenate(others))
    for mine, added in zip(first, more, strict=True):
        mine[asked] = (mine[asked] + added.reshape(len(others), len(asked), -1).sum(axis=0)) / (1 + len(others))
    return first


def further(pixels: Pixels, views: int, second_look: Literal["mirrors", "green"]) -> list[Pixels]:
    """The views besides the first, each (N, S, S, 3)."""
    if second_look == "green":
        return [green_alone(pixels)]
    return [np.flip(pixels, axes) for axes in MIRRORS[1:views]]


def green_alone(crops: Pixels) -> Pixels:
    """Show the green channel in all three: (..., 3) uint8."""
    return np.repeat(crops[..., 1:2], 3, axis=-1)
