"""Numba kernels: grid suppression and box-local mask decoding. They release the GIL."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

CELL = 32


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def suppress(boxes: NDArray[np.float32], iou: float, side: int) -> NDArray[np.int64]:
    """Greedy suppression of boxes (N, 4) xyxy sorted best first; returns the rows kept.

    Kept boxes are entered in every grid cell that they touch; a box is compared with those of its own cells only.
    """
    across = side // CELL + 1
    heads = np.full(across * across, -1, np.int64)
    room = 4 * len(boxes) + 64
    nexts = np.empty(room, np.int64)
    owners = np.empty(room, np.int64)
    used = 0
    kept = np.empty(len(boxes), np.int64)
    count = 0
    for i in range(len(boxes)):
        x0, y0, x1, y1 = boxes[i]
        area = (x1 - x0) * (y1 - y0)
        left, right = int(x0) // CELL, min(int(x1) // CELL, across - 1)
        top, bottom = int(y0) // CELL, min(int(y1) // CELL, across - 1)
        alive = True
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                node = heads[row * across + column]
                while node >= 0 and alive:
                    a0, b0, a1, b1 = boxes[owners[node]]
                    width = min(x1, a1) - max(x0, a0)
                    height = min(y1, b1) - max(y0, b0)
                    if width > 0 and height > 0:
                        inter = width * height
                        if inter > iou * (area + (a1 - a0) * (b1 - b0) - inter):
                            alive = False
                    node = nexts[node]
                if not alive:
                    break
            if not alive:
                break
        if not alive:
            continue
        kept[count] = i
        count += 1
        needed = (right - left + 1) * (bottom - top + 1)
        if used + needed > room:
            grown = 2 * room + needed
            more_nexts = np.empty(grown, np.int64)
            more_owners = np.empty(grown, np.int64)
            more_nexts[:used] = nexts[:used]
            more_owners[:used] = owners[:used]
            nexts, owners, room = more_nexts, more_owners, grown
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                owners[used] = i
                nexts[used] = heads[row * across + column]
                heads[row * across + column] = used
                used += 1
    return kept[:count]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def mask_frames(boxes: NDArray[np.float32], side: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Give each box (N, 4) its frame of whole pixels (N, 4) and where its mask starts in a packed buffer (N + 1,)."""
    frames = np.empty((len(boxes), 4), np.int32)
    starts = np.zeros(len(boxes) + 1, np.int64)
    for i in range(len(boxes)):
        frames[i, 0] = max(int(np.floor(boxes[i, 0])), 0)
        frames[i, 1] = max(int(np.floor(boxes[i, 1])), 0)
        frames[i, 2] = min(int(np.ceil(boxes[i, 2])), side)
        frames[i, 3] = min(int(np.ceil(boxes[i, 3])), side)
        starts[i + 1] = starts[i] + (frames[i, 2] - frames[i, 0]) * (frames[i, 3] - frames[i, 1])
    return frames, starts


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def decode_masks(
    prototypes: NDArray[np.float32],
    coefficients: NDArray[np.float32],
    frames: NDArray[np.int32],
    starts: NDArray[np.int64],
    stride: int,
) -> NDArray[np.uint8]:
    """Decode every mask inside its own frame.

    Logits are formed at the prototypes' resolution over the frame only, then read bilinearly at each tile pixel.

    Args:
        prototypes: (H, W, M) float32, channels last so that a pixel's vector is contiguous.
        coefficients: (N, M) float32.
        frames, starts: from ``mask_frames``.
        stride: tile pixels a prototype pixel.

    Returns:
        Packed masks, 1 inside, row by row of each frame.
    """
    height, width, channels = prototypes.shape
    packed = np.zeros(starts[-1], np.uint8)
    for i in range(len(frames)):
        x0, y0, x1, y1 = frames[i]
        left = max(int(np.floor((x0 + 0.5) / stride - 0.5)), 0)
        top = max(int(np.floor((y0 + 0.5) / stride - 0.5)), 0)
        right = min(int(np.floor((x1 - 0.5) / stride - 0.5)) + 1, width - 1)
        bottom = min(int(np.floor((y1 - 0.5) / stride - 0.5)) + 1, height - 1)
        logits = np.zeros((bottom - top + 1, right - left + 1), np.float32)
        for v in range(top, bottom + 1):
            for u in range(left, right + 1):
                total = np.float32(0)
                for c in range(channels):
                    total += prototypes[v, u, c] * coefficients[i, c]
                logits[v - top, u - left] = total
        place = starts[i]
        for y in range(y0, y1):
            fy = min(max((y + 0.5) / stride - 0.5 - top, 0.0), float(bottom - top))
            v0 = min(int(fy), max(bottom - top - 1, 0))
            v1 = min(v0 + 1, bottom - top)
            wy = fy - v0
            for x in range(x0, x1):
                fx = min(max((x + 0.5) / stride - 0.5 - left, 0.0), float(right - left))
                u0 = min(int(fx), max(right - left - 1, 0))
                u1 = min(u0 + 1, right - left)
                wx = fx - u0
                upper = logits[v0, u0] * (1 - wx) + logits[v0, u1] * wx
                lower = logits[v1, u0] * (1 - wx) + logits[v1, u1] * wx
                if upper * (1 - wy) + lower * wy > 0:
                    packed[place] = 1
                place += 1
    return packed
