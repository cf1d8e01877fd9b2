"""Transparency, the same way for every format."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WHITE = np.uint8(255)


def without_alpha(pixels: NDArray[np.uint8], premultiplied: bool = False) -> NDArray[np.uint8]:
    """Drop the alpha channel of (H, W, 4) uint8 RGBA: what is fully transparent was never seen and is white.

    Args:
        premultiplied: whether colours were multiplied with alpha (TIFF's associated alpha); that is undone.
    """
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    if premultiplied:
        raised = (colours.astype(np.uint16) * 255 + alpha // 2) // np.maximum(alpha, 1)
        colours = np.minimum(raised, 255).astype(np.uint8)
    return np.where(alpha == 0, WHITE, colours)
