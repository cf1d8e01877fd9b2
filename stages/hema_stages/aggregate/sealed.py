"""A plan that grows: tiles added as they become known, and regions where none will be."""

from __future__ import annotations

from collections.abc import Mapping

Box = tuple[float, float, float, float]


class SealedRegions:
    """Tiles of a growing plan and the regions that are sealed against more."""

    def __init__(self) -> None:
        self._tiles: dict[int, Box] = {}
        self._regions: list[Box] = []

    @property
    def extended(self) -> bool:
        """Whether the plan grows at all."""
        return bool(self._tiles)

    def box(self, tile: int) -> Box | None:
        """Where an added tile lies."""
        return self._tiles.get(tile)

    def extend(self, tiles: Mapping[int, Box]) -> None:
        """Add tiles; ValueError where one meets a sealed region."""
        for tile, box in tiles.items():
            met = next((region for region in self._regions if _meet(box, region)), None)
            if met is not None:
                raise ValueError(f"tile {tile} at {box} meets the region {met}, which was sealed")
        self._tiles.update(tiles)

    def seal(self, region: Box) -> None:
        """Seal a region."""
        self._regions.append(region)

    def tiles_overlapping(self, box: Box) -> list[int]:
        """Added tiles that meet a box."""
        return [tile for tile, where in self._tiles.items() if _touch(where, box)]

    def covers(self, box: Box) -> bool:
        """Whether a box lies within the union of the sealed regions, exactly."""
        near = [region for region in self._regions if _touch(region, box)]
        xs = sorted({box[0], box[2], *(v for r in near for v in (r[0], r[2]) if box[0] < v < box[2])})
        ys = sorted({box[1], box[3], *(v for r in near for v in (r[1], r[3]) if box[1] < v < box[3])})
        cells = [
            (x0, y0, x1, y1)
            for x0, x1 in zip(xs, xs[1:] or xs, strict=False)
            for y0, y1 in zip(ys, ys[1:] or ys, strict=False)
        ]
        return all(any(_within(cell, region) for region in near) for cell in cells)


def _within(inner: Box, outer: Box) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _touch(a: Box, b: Box) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
