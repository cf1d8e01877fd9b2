"""What every stage that calibrates is told: how stain is fitted, and when a measurement is worth a warning."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from hema_stages.calibration.stain_fit import StainLimits, fit_macenko, fit_reinhard
from hema_stream.core.calibration import StainFit
from hema_stream.flow import prop

FITTED_PIXELS = 250_000  # more make a stain's fit no steadier, and every one of them costs a slide's start


def red_cell_of(patches: Sequence[NDArray[np.uint8]], ground: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Decadic optical density of the median red cell by channel, (3,) float32; None where the patches show too few."""
    from hema_models.normalising import red_cell_density

    return red_cell_density(_thinned(patches), ground) if patches else None


def _thinned(patches: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pixels (N, 3) of sampled places, (H, W, 3) uint8 RGB each; every so many of them where there are too many."""
    thin = max(isqrt(sum(patch.shape[0] * patch.shape[1] for patch in patches) // FITTED_PIXELS), 1)
    return np.concatenate([patch[::thin, ::thin].reshape(-1, 3) for patch in patches])


class Measuring:
    """Properties of a stage that measures stain, scale and focus."""

    method: str = prop(
        "macenko",
        doc="how stain is fitted and mapped; none leaves colours alone",
        choices=("macenko", "reinhard", "none"),
    )
    assumed_mpp: float = prop(0.1, doc="scale where none can be measured", unit="um/px", ge=0.02, le=2.0)
    focus_share: float = prop(0.08, doc="share of the slide's focus under which a tile is rejected", ge=0.0, le=1.0)
    low_focus: float = prop(12.0, doc="focus under which the slide is warned about", unit="grey levels²", ge=0.0)
    stain_low: float = prop(0.1, doc="least stain strength that normalisation is made for", unit="OD", ge=0.0)
    stain_high: float = prop(3.0, doc="greatest stain strength that normalisation is made for", unit="OD", ge=0.0)
    stain_angle: float = prop(4.0, doc="least angle between the two stains", unit="degrees", ge=0.0, le=90.0)
    stain_green: float = prop(0.5, doc="least share of green in the tissue's mean density", ge=0.0, le=1.0)

    def fit_stain(self, patches: list[NDArray[np.uint8]], ground: NDArray[np.uint8]) -> StainFit:
        """Fit the stain of sampled places, (H, W, 3) uint8 RGB each, on ground of the colour (3,) uint8."""
        if self.method == "none":
            return StainFit(reason="switched off")
        if not patches:
            return StainFit(reason="too little tissue")
        pixels = _thinned(patches)
        if self.method == "reinhard":
            return fit_reinhard(pixels, ground)
        limits = StainLimits(self.stain_low, self.stain_high, self.stain_angle, self.stain_green)
        return fit_macenko(pixels, ground, limits)
