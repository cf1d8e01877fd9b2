"""What is measured once a slide and then frozen: scale, stain, focus and background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.slide import Scale


@dataclass(frozen=True)
class StainFit:
    """Two-stain model in optical density.

    Attributes:
        method: ``macenko``, ``reinhard`` or ``none``.
        matrix: (3, 2) float32 unit stain vectors (columns) of this slide; empty (3, 0) for ``none``.
        strength: (2,) float32 99th percentile concentrations.
        in_range: whether the fit lies within the range that normalisation was made for.
        reason: why ``none`` was chosen, or what is out of range; empty otherwise.
    """

    method: str
    matrix: NDArray[np.float32]
    strength: NDArray[np.float32]
    in_range: bool
    reason: str = ""


@dataclass(frozen=True)
class Foreground:
    """Where there is tissue, at low resolution.

    Attributes:
        mask: (h, w) bool.
        step: level-0 pixels a mask pixel.
    """

    mask: NDArray[np.bool_]
    step: float

    def share(self, box: tuple[float, float, float, float]) -> float:
        """Share of a level-0 box (x0, y0, x1, y1) that is foreground, 0..1."""
        x0, y0, x1, y1 = (v / self.step for v in box)
        part = self.mask[max(int(y0), 0) : max(int(np.ceil(y1)), 1), max(int(x0), 0) : max(int(np.ceil(x1)), 1)]
        return float(part.mean()) if part.size else 0.0


@dataclass(frozen=True)
class Calibration:
    """Frozen measurements of one slide; travels as a caps field.

    Attributes:
        scale: microns a pixel and where they come from.
        stain: the fitted stain.
        background: (3,) uint8 RGB of bare ground.
        focus_threshold: variance of the Laplacian (canonical scale, grey 0..255) below which a tile is out of focus.
        focus: median variance of the Laplacian over the sampled tissue.
        foreground: low-resolution map of tissue.
        warnings: codes such as ``low_focus`` or ``no_scale``.
    """

    scale: Scale
    stain: StainFit
    background: NDArray[np.uint8]
    focus_threshold: float
    focus: float
    foreground: Foreground
    warnings: tuple[str, ...] = ()
