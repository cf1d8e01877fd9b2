"""From a field's pixels to its tiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from hema_stages.fields.measure import resampled
from hema_stream.core.calibration import Calibration
from hema_stream.core.field import Box, Scan, Shot
from hema_stream.core.field_plan import FieldPlan
from hema_stream.core.slide import Scale
from hema_stream.core.tile import Tile, TileSpec
from hema_stream.core.units import CANONICAL_MPP


@dataclass(frozen=True)
class Layout:
    """Where a scan's fields lie.

    Attributes:
        scan: as declared; plan: in level-0 pixels; mpp: microns a level-0 pixel.
        corner: um, stage coordinates of the level-0 origin.
    """

    scan: Scan
    plan: FieldPlan
    mpp: float
    corner: tuple[float, float]

    @classmethod
    def of(cls, scan: Scan, scale: Scale, side: int, overlap: int, reach_um: float) -> Layout:
        """Lay fields out once the scale is known."""
        x0, y0, x1, y1 = scan.extent(scale.mpp)
        grid = scan.grid
        if grid is not None:
            grid = replace(grid, step_x=grid.step_x / scale.mpp, step_y=grid.step_y / scale.mpp)
        plan = FieldPlan(
            width=max(ceil((x1 - x0) / scale.mpp - 1e-6), 1),
            height=max(ceil((y1 - y0) / scale.mpp - 1e-6), 1),
            scale=scale,
            field=(scan.width, scan.height),
            grid=grid,
            side=side,
            overlap=overlap,
            reach=reach_um / scale.mpp,
        )
        return cls(scan, plan, scale.mpp, (x0, y0))

    def place(self, shot: Shot) -> tuple[float, float]:
        """Upper left corner of a field, level-0 pixels: the grid's place, or where the stage says."""
        if self.plan.grid is not None:
            return self.plan.place(shot.index)
        return (shot.x - self.corner[0]) / self.mpp, (shot.y - self.corner[1]) / self.mpp

    def specs(self, shot: Shot) -> list[TileSpec]:
        """A field's tiles."""
        if self.plan.grid is not None:
            return [self.plan.spec(tile) for tile in self.plan.tiles(shot.index)]
        place = self.place(shot)
        return [self.plan.spec_at(shot.index, number, place) for number in range(self.plan.per_field)]

    def sealed(self, box: Box) -> Box:
        """A sealed part, um, in level-0 pixels; beyond the edges of the area nothing can come either."""
        x, y = self.corner
        x0, y0, x1, y1 = ((v - c) / self.mpp for v, c in zip(box, (x, y, x, y), strict=True))
        width, height, beyond = self.plan.width, self.plan.height, 2 * self.plan.reach + 1
        return (
            x0 if x0 > 1 else -beyond,
            y0 if y0 > 1 else -beyond,
            x1 if x1 < width - 1 else width + beyond,
            y1 if y1 < height - 1 else height + beyond,
        )


def cut(
    shot: Shot,
    canonical: NDArray[np.uint8],
    layout: Layout,
    calibration: Calibration,
    fine_mpp: float,
    offsets: Mapping[int, tuple[float, float]],
    focus: float,
) -> Iterator[Tile]:
    """Cut a field into its tiles; what lies beyond the field has the ground's colour.

    Args:
        canonical: the field's pixels at the canonical scale, (h, w, 3) uint8 RGB.
        fine_mpp: finest scale kept for crops, um a pixel; never finer than the field's own.
        offsets: by other tile, level-0 pixels.
        focus: of the field.
    """
    fine_mpp = max(fine_mpp, layout.mpp)
    finer = CANONICAL_MPP / fine_mpp if fine_mpp < CANONICAL_MPP else 1.0
    fine = resampled(shot.pixels, layout.mpp, fine_mpp) if finer > 1 else canonical
    place = layout.place(shot)
    x, y = (v / layout.plan.scale.canonical for v in place)
    for spec in layout.specs(shot):
        side = round(spec.box[2] - spec.box[0])
        left, top = round(spec.box[0] - x), round(spec.box[1] - y)
        pixels = _padded(canonical, left, top, side, calibration.background)
        if finer > 1:
            corner = round(left * finer), round(top * finer)
            wide = _padded(fine, *corner, round(side * finer), calibration.background)
        else:
            wide = pixels
        yield Tile(spec, pixels, wide, finer, focus, offsets)


def _padded(
    pixels: NDArray[np.uint8], left: int, top: int, side: int, background: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    part = pixels[top : top + side, left : left + side]
    if part.shape[:2] == (side, side):
        return np.ascontiguousarray(part)
    out = np.empty((side, side, 3), np.uint8)
    out[:] = background
    out[: part.shape[0], : part.shape[1]] = part
    return out
