"""A plan that grows: tiles added as they become known, and regions where none will be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from math import floor

Box = tuple[float, float, float, float]
SQUARE = 2048.0
"""Side of the squares by which boxes are found again, in the boxes' own unit."""
HAIR = 1e-3
"""What two boxes share at most without meeting: edges that touch may differ by rounding."""
MOST_SQUARES = 4096
"""Squares above which a box is not entered by them; few are so large."""


class _Boxes:
    """Boxes by number, found by the squares that they touch: cost follows the neighbours, never the plan."""

    def __init__(self) -> None:
        self.boxes: dict[int, Box] = {}
        self._squares: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._wide: list[int] = []

    def add(self, number: int, box: Box) -> None:
        """Enter a box; its number must be new."""
        self.boxes[number] = box
        if _is_wide(box):
            self._wide.append(number)
        else:
            for square in _squares(box):
                self._squares[square].append(number)

    def touching(self, box: Box) -> list[int]:
        """Numbers of the boxes that touch a box, ascending."""
        if _is_wide(box):
            near = set(self.boxes)
        else:
            near = {number for square in _squares(box) for number in self._squares.get(square, ())} | {*self._wide}
        return sorted(number for number in near if _touch(self.boxes[number], box))


class SealedRegions:
    """Tiles of a growing plan and the regions that are sealed against more."""

    def __init__(self) -> None:
        self._tiles = _Boxes()
        self._regions = _Boxes()

    @property
    def extended(self) -> bool:
        """Whether the plan grows at all."""
        return bool(self._tiles.boxes)

    def box(self, tile: int) -> Box | None:
        """Where an added tile lies."""
        return self._tiles.boxes.get(tile)

    def extend(self, tiles: Mapping[int, Box]) -> None:
        """Add tiles; ValueError where one meets a sealed region."""
        for tile, box in tiles.items():
            met = next((region for region in self._near(box) if _meet(box, region)), None)
            if met is not None:
                raise ValueError(f"tile {tile} at {box} meets the region {met}, which was sealed")
        for tile, box in tiles.items():
            if tile not in self._tiles.boxes:
                self._tiles.add(tile, box)

    def seal(self, region: Box) -> None:
        """Seal a region."""
        self._regions.add(len(self._regions.boxes), region)

    def tiles_overlapping(self, box: Box) -> list[int]:
        """Added tiles that meet a box."""
        return self._tiles.touching(box)

    def covers(self, box: Box) -> bool:
        """Whether a box lies within the union of the sealed regions, exactly."""
        near = self._near(box)
        xs = sorted({box[0], box[2], *(v for r in near for v in (r[0], r[2]) if box[0] < v < box[2])})
        ys = sorted({box[1], box[3], *(v for r in near for v in (r[1], r[3]) if box[1] < v < box[3])})
        cells = [
            (x0, y0, x1, y1)
            for x0, x1 in zip(xs, xs[1:] or xs, strict=False)
            for y0, y1 in zip(ys, ys[1:] or ys, strict=False)
        ]
        return all(any(_within(cell, region) for region in near) for cell in cells)

    def _near(self, box: Box) -> list[Box]:
        return [self._regions.boxes[number] for number in self._regions.touching(box)]


def _is_wide(box: Box) -> bool:
    return not (box[2] - box[0] + SQUARE) * (box[3] - box[1] + SQUARE) < MOST_SQUARES * SQUARE * SQUARE


def _squares(box: Box) -> Iterator[tuple[int, int]]:
    """The squares that a box touches."""
    for row in range(floor(box[1] / SQUARE), floor(box[3] / SQUARE) + 1):
        for column in range(floor(box[0] / SQUARE), floor(box[2] / SQUARE) + 1):
            yield row, column


def _within(inner: Box, outer: Box) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] - HAIR and b[0] < a[2] - HAIR and a[1] < b[3] - HAIR and b[1] < a[3] - HAIR


def _touch(a: Box, b: Box) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
