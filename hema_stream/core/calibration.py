"""What is measured once a slide and then frozen: scale, stain, focus and background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.slide import Scale


@dataclass(frozen=True, kw_only=True)
class StainFit:
    """What is known of a slide's stain; by itself, that nothing was fitted and colours are left alone.

    Attributes:
        in_range: whether the fit lies within the range that normalisation was made for.
        reason: why nothing was fitted, or what is out of range; empty otherwise.
    """

    method: ClassVar[str] = "none"
    in_range: bool = True
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class MacenkoFit(StainFit):
    """Two stains in optical density (Macenko et al., ISBI 2009).

    Attributes:
        matrix: (3, 2) float32 unit stain vectors (columns) of this slide.
        strength: (2,) float32 99th percentile concentrations.
        red_cells: (3,) float32 decadic optical density of red cells, by channel.
    """

    method: ClassVar[str] = "macenko"
    matrix: NDArray[np.float32]
    strength: NDArray[np.float32]
    red_cells: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ReinhardFit(StainFit):
    """Colour moments of the tissue (Reinhard et al., IEEE CG&A 2001), in OpenCV's 8-bit L*a*b*.

    Attributes:
        mean: (3,) float32; deviation: (3,) float32.
    """

    method: ClassVar[str] = "reinhard"
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]


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
        red_cell: (3,) float32 decadic optical density of the median red cell by channel; None where too few are seen.
        warnings: codes such as ``low_focus`` or ``no_scale``.
    """

    scale: Scale
    stain: StainFit
    background: NDArray[np.uint8]
    focus_threshold: float
    focus: float
    foreground: Foreground
    warnings: tuple[str, ...] = ()
    red_cell: NDArray[np.float32] | None = None
