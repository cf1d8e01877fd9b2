"""A classifier's second look: mirror images of the cells of which it is not sure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hema_models.calibration import softmax

MIRRORS = ((), (2,), (1,), (1, 2))  # axes of (N, H, W, 3) that are reversed: none, left and right, up and down, both


def answer_by_views(
    answer: Callable[[NDArray[np.uint8]], NDArray[np.float32]], pixels: NDArray[np.uint8], views: int, sure: float
) -> NDArray[np.float32]:
    """Logits (N, C) of crops: the upright view's where it is sure, else the mean over ``views`` mirror images.

    A cell has no upright, so each image is as good a question as the other (test-time augmentation).

    Args:
        answer: gives the logits (M, C) of any number of crops (M, S, S, 3).
        pixels: (N, S, S, 3) uint8 RGB.
        views: 1, 2 or 4 images.
        sure: probability of the best class, untempered, above which the upright view stands alone; 1 asks all of all.
    """
    logits = answer(pixels)
    if views == 1 or not len(logits):
        return logits
    asked = np.flatnonzero(softmax(logits).max(axis=1) <= sure)
    if not len(asked):
        return logits
    images = np.concatenate([np.flip(pixels[asked], axes) for axes in MIRRORS[1:views]])
    more = answer(images).reshape(views - 1, len(asked), -1).sum(axis=0)
    logits[asked] = (logits[asked] + more) / views
    return logits
