"""Stain: colours mapped onto a reference with the slide's frozen fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.calibration import MacenkoFit, ReinhardFit
from hema_stream.core.configs import load_config
from hema_stream.core.tile import Tile
from hema_stream.flow import Caps, Policy, Transform, cpu, prop

STEPS = 1024  # a unit of optical density, natural logarithm
LIGHTEST, DENSEST = 1, 8  # units of the table below bare ground, and in all; e**-7 of white is black
MOST_GAIN = 2.0  # a channel whose red cells are further from the reference is not one of a Romanowsky smear

Apply = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


class Stain(Transform[Tile, Tile]):
    """Map a tile's colours onto the reference stain with the slide's frozen fit (``calibrate.method``).

    Pixels (H, W, 3) uint8 RGB in and out; optical density in float32. By a Macenko fit, ground and red cells are
    brought to the reference channel by channel; ``match=stains`` is Macenko's own mapping of both stains, which moves
    with the share of nuclei in the sample (docs/decisions/0003-matching-red-cells.md). A stain out of range is flagged
    by calibrate and its colours are left alone. Only the pixels in which cells are found are mapped: classifiers see a
    cell's own colours, as they do in training (docs/decisions/0002-crops-own-colours.md).
    """

    accepts = Caps("image/tile")
    produces = Caps("image/tile")
    runs_on = cpu(threads=1)
    on_error = Policy.GAP

    enabled: bool = prop(True, doc="whether colours are mapped at all")
    match: str = prop(
        "red_cells",
        doc="what a Macenko fit brings to the reference: the density of ground and red cells, or both stains",
        choices=("red_cells", "stains"),
    )

    def start(self) -> None:
        """Compile the kernel of the mapping that needs one."""
        if self.match == "red_cells":
            return
        kernel()(
            np.zeros((1, 1, 3), np.uint8),
            np.zeros((3, 256), np.float32),
            np.eye(3, dtype=np.float32),
            np.zeros((3, 8), np.uint8),
        )

    def negotiate(self, caps: Caps) -> tuple[Caps, Apply | None]:
        """Prepare the slide's mapping."""
        fit = caps.calibration.stain
        if not self.enabled or not fit.in_range:
            return caps, None
        if isinstance(fit, MacenkoFit):
            mapping = red_cells if self.match == "red_cells" else macenko
            return caps, mapping(fit, caps.calibration.background)
        return caps, reinhard(fit) if isinstance(fit, ReinhardFit) else None

    def process(self, tile: Tile, apply: Apply | None) -> Tile:  # type: ignore[override]
        """Map one tile; without a mapping it passes as it is."""
        return tile if apply is None else tile.with_pixels(apply(tile.pixels))


def reinhard(fit: ReinhardFit) -> Apply:
    """Shift and stretch each channel of L*a*b* to the reference's mean and deviation (Reinhard et al., 2001)."""
    import cv2

    reference = load_config("stain_reference.yaml")["lab"]
    ramp = np.arange(256, dtype=np.float32)
    tables = [
        np.clip((ramp - own_mean) * (deviation / own_deviation) + mean, 0, 255).round().astype(np.uint8)
        for own_mean, own_deviation, mean, deviation in zip(
            fit.mean, fit.deviation, reference["mean"], reference["deviation"], strict=True
        )
    ]
    table = np.stack(tables, axis=1)[None]

    def apply(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        lab = cv2.LUT(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB), table)
        return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)

    return apply


def red_cells(fit: MacenkoFit, background: NDArray[np.uint8]) -> Apply:
    """Scale each channel's optical density so that red cells, over the reference's ground, get the reference's."""
    import cv2

    reference = load_config("stain_reference.yaml")
    ground = np.array(reference["background"], np.float32)
    wanted = np.array(reference["red_cells"], np.float32)
    gain = np.clip(wanted / np.maximum(fit.red_cells, 1e-3), 1 / MOST_GAIN, MOST_GAIN)
    ramp = np.arange(256, dtype=np.float32)[:, None] + 1
    mapped = (ground + 1) * (ramp / (background.astype(np.float32) + 1)) ** gain - 1
    table = np.clip(mapped.round(), 0, 255).astype(np.uint8)[None]
    return lambda pixels: np.asarray(cv2.LUT(pixels, table), np.uint8)


def macenko(fit: MacenkoFit, background: NDArray[np.uint8]) -> Apply:
    """Compose density, unmixing, scaling and remixing into one 3 x 3 matrix between two lookups.

    Densities are mixed in steps of ``1 / STEPS``, fine enough to be within a grey level of the exact exponential, which
    costs four times as much as looking it up.
    """
    reference = load_config("stain_reference.yaml")
    target = np.array(reference["matrix"], np.float32).T
    strength = np.array(reference["strength"], np.float32)
    ground = np.array(reference["background"], np.float32)
    change = target @ np.diag(strength / fit.strength) @ np.linalg.pinv(fit.matrix)
    ramp = np.arange(256, dtype=np.float32) + 1
    density = np.stack([-np.log(ramp / (float(b) + 1)) for b in background]).astype(np.float32)
    matrix = np.ascontiguousarray(change * STEPS, np.float32)
    mixed = (np.arange(DENSEST * STEPS) - LIGHTEST * STEPS) / STEPS
    table = np.clip((ground[:, None] + 1) * np.exp(-mixed) - 0.5, 0, 255).astype(np.uint8)
    return lambda pixels: kernel()(pixels, density, matrix, table)


@cache
def kernel() -> Callable[..., NDArray[np.uint8]]:
    """Compile the fused mapping: lookup, 3 x 3, lookup."""
    from numba import njit

    compiled: Callable[..., NDArray[np.uint8]] = njit(cache=True, nogil=True, fastmath=True)(normalise)
    return compiled


def normalise(pixels: Any, density: Any, matrix: Any, table: Any) -> Any:
    """Map (H, W, 3) uint8 through ``density`` (3, 256), ``matrix`` (3, 3), both float32, and ``table`` (3, K) uint8.

    The product of the first two counts steps of the table from ``LIGHTEST`` below bare ground.
    """
    height, width = pixels.shape[0], pixels.shape[1]
    out = np.empty((height, width, 3), np.uint8)
    ground, last = np.float32(LIGHTEST * STEPS + 0.5), table.shape[1] - 1
    for y in range(height):
        for x in range(width):
            r = density[0, pixels[y, x, 0]]
            g = density[1, pixels[y, x, 1]]
            b = density[2, pixels[y, x, 2]]
            for c in range(3):
                step = int(matrix[c, 0] * r + matrix[c, 1] * g + matrix[c, 2] * b + ground)
                out[y, x, c] = table[c, min(max(step, 0), last)]
    return out
