"""Suppression and mask decoding against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hema_stages.segment.kernels import decode_masks, mask_frames, suppress


def plain_suppress(boxes: np.ndarray, iou: float) -> list[int]:
    kept: list[int] = []
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        for j in kept:
            a0, b0, a1, b1 = boxes[j]
            inter = max(min(x1, a1) - max(x0, a0), 0) * max(min(y1, b1) - max(y0, b0), 0)
            if inter > iou * ((x1 - x0) * (y1 - y0) + (a1 - a0) * (b1 - b0) - inter):
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize("seed", range(20))
def test_suppress_equals_the_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 220, (300, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 90, (300, 2))], axis=1).clip(0, 256).astype(np.float32)
    assert suppress(boxes, 0.5, 256).tolist() == plain_suppress(boxes, 0.5)


def test_suppress_keeps_a_crowd_of_two_thousand_distinct_cells() -> None:
    y, x = np.mgrid[0:45, 0:45]
    corner = np.stack([x.ravel(), y.ravel()], axis=1) * 22.0
    boxes = np.concatenate([corner, corner + 20], axis=1).astype(np.float32)
    assert len(suppress(boxes, 0.5, 1024)) == 2025


def plain_masks(prototypes: np.ndarray, coefficients: np.ndarray, frames: np.ndarray, stride: int) -> list[np.ndarray]:
    """Upsample each whole logit map bilinearly, half-pixel centres, then cut the frame out."""
    import cv2

    out = []
    for vector, (x0, y0, x1, y1) in zip(coefficients, frames, strict=True):
        logits = (prototypes @ vector).astype(np.float32)
        size = (logits.shape[1] * stride, logits.shape[0] * stride)
        out.append(cv2.resize(logits, size, interpolation=cv2.INTER_LINEAR)[y0:y1, x0:x1] > 0)
    return out


def test_masks_equal_whole_frame_upsampling() -> None:
    rng = np.random.default_rng(3)
    prototypes = rng.normal(size=(32, 32, 8)).astype(np.float32)
    coefficients = rng.normal(size=(40, 8)).astype(np.float32)
    corner = rng.uniform(0, 110, (40, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(2, 60, (40, 2))], axis=1).clip(0, 128).astype(np.float32)
    frames, starts = mask_frames(boxes, 128)
    packed = decode_masks(prototypes, coefficients, frames, starts, 4)
    differing = total = 0
    for i, expected in enumerate(plain_masks(prototypes, coefficients, frames, 4)):
        mask = packed[starts[i] : starts[i + 1]].reshape(expected.shape)
        differing += int((mask != expected).sum())
        total += expected.size
    assert differing <= total * 1e-4  # logits within rounding of zero


def test_frames_stay_on_the_tile() -> None:
    frames, starts = mask_frames(np.array([[-3.2, 5.1, 9.9, 300.0]], np.float32), 256)
    assert frames.tolist() == [[0, 5, 10, 256]]
    assert starts.tolist() == [0, 10 * 251]
