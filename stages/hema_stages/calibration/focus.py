"""Focus: variance of the Laplacian (Pech-Pacheco et al., ICPR 2000)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def laplacian_variance(pixels: NDArray[np.uint8]) -> float:
    """Measure sharpness of (H, W, 3) uint8 RGB at the canonical scale, in squared grey levels."""
    import cv2

    if min(pixels.shape[:2]) < 3:
        return 0.0
    return float(cv2.Laplacian(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())
