"""Offsets of neighbouring fields: where the stage was really, by phase correlation of what both fields show."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import hypot

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.units import CANONICAL_MPP

Gray = NDArray[np.uint8]

LEAST_SIDE = 24
"""Canonical pixels that two fields share at least, in both directions, for their offset to be measured."""
MOST_PAIRS = 12
"""Neighbours of a field that are measured at most, those that share most with it first; a grid has eight."""
LEAST_CONTRAST = 4.0
"""Standard deviation, grey levels, under which an overlap shows nothing to go by."""
LEAST_LIKENESS = 0.5
"""Correlation of the two pictures after the shift under which it is not believed."""
FINE = 4
"""Parts of a pixel that a shift is measured to."""


@dataclass(frozen=True)
class Placed:
    """A field's grey picture where the stage says it lies.

    Attributes:
        gray: (h, w) uint8 at the canonical scale.
        x, y: its upper left corner, canonical pixels.
    """

    gray: Gray
    x: float
    y: float


def pair_offset(first: Placed, second: Placed) -> tuple[float, float] | None:
    """By how much the second field's cells are to be shifted to lie on the first's, (dx, dy) canonical pixels.

    None where the two share too little, show nothing there, or do not look alike whatever the shift.
    """
    overlap = _overlap(first, second)
    if overlap is None:
        return None
    a, b, fraction = overlap
    if min(float(a.std()), float(b.std())) < LEAST_CONTRAST:
        return None
    from skimage.registration import phase_cross_correlation

    shift = phase_cross_correlation(_windowed(a), _windowed(b), upsample_factor=FINE, normalization="phase")[0]
    dy, dx = float(shift[0]), float(shift[1])
    if _likeness(a, b, round(dx), round(dy)) < LEAST_LIKENESS:
        return None
    return dx - fraction[0], dy - fraction[1]


def _overlap(first: Placed, second: Placed) -> tuple[Gray, Gray, tuple[float, float]] | None:
    """The pixels that both should show, and the fraction of a pixel by which cutting them out has moved the second."""
    across, down = round(second.x - first.x), round(second.y - first.y)
    x0, y0 = max(across, 0), max(down, 0)
    x1 = min(first.gray.shape[1], across + second.gray.shape[1])
    y1 = min(first.gray.shape[0], down + second.gray.shape[0])
    if x1 - x0 < LEAST_SIDE or y1 - y0 < LEAST_SIDE:
        return None
    a = first.gray[y0:y1, x0:x1]
    b = second.gray[y0 - down : y1 - down, x0 - across : x1 - across]
    return a, b, (second.x - first.x - across, second.y - first.y - down)


def _windowed(gray: Gray) -> NDArray[np.float32]:
    """Without mean and with soft edges, which else would be all that both have in common."""
    height, width = gray.shape
    weight = np.outer(np.hanning(height), np.hanning(width))
    return np.asarray((gray - gray.mean()) * weight, np.float32)


def _likeness(a: Gray, b: Gray, dx: int, dy: int) -> float:
    """Correlation of what both show after ``b`` is shifted by whole pixels; 0 where too little is left."""
    height, width = a.shape
    if height - abs(dy) < LEAST_SIDE // 2 or width - abs(dx) < LEAST_SIDE // 2:
        return 0.0
    here = a[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)].astype(np.float64).ravel()
    there = b[max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)].astype(np.float64).ravel()
    here, there = here - here.mean(), there - there.mean()
    norm = float(np.sqrt((here @ here) * (there @ there)))
    return float(here @ there) / norm if norm else 0.0


class Neighbours:
    """Grey pictures of the fields that came last, against which a new one is measured.

    Each pair is measured from its lower to its higher number, whichever came first. Past ``most_bytes`` the oldest
    picture goes; pairs with it are not measured.

    Attributes:
        measured, refused, unclear: pairs by what came of them.
        widest: the largest offset in use, um.
    """

    def __init__(self, most_um: float, most_bytes: int) -> None:
        self._most_um, self._most_bytes = most_um, most_bytes
        self._fields: OrderedDict[int, Placed] = OrderedDict()
        self._bytes = 0
        self.measured = self.refused = self.unclear = 0
        self.widest = 0.0

    def add(self, index: int, placed: Placed) -> dict[int, tuple[float, float]]:
        """Enter a field; by other field, how this one's cells are shifted where the two are compared, canonical px."""
        found: dict[int, tuple[float, float]] = {}
        shared = {other: _overlap(there, placed) for other, there in self._fields.items()}
        areas = {other: overlap[0].size for other, overlap in shared.items() if overlap is not None}
        for other in sorted(areas, key=lambda number: (-areas[number], number))[:MOST_PAIRS]:
            offset = self._measure(index, placed, other, self._fields[other])
            if offset is not None:
                found[other] = offset
        self.unclear += max(len(areas) - MOST_PAIRS, 0)
        self._fields[index] = placed
        self._bytes += placed.gray.nbytes
        while self._bytes > self._most_bytes:
            self._bytes -= self._fields.popitem(last=False)[1].gray.nbytes
        return found

    def _measure(self, index: int, placed: Placed, other: int, there: Placed) -> tuple[float, float] | None:
        forward = other < index
        offset = pair_offset(there, placed) if forward else pair_offset(placed, there)
        if offset is None:
            self.unclear += 1
            return None
        length = hypot(*offset) * CANONICAL_MPP
        if length > self._most_um:
            self.refused += 1
            return None
        self.measured += 1
        self.widest = max(self.widest, length)
        return offset if forward else (-offset[0], -offset[1])
