"""Figures of links and stages, cheap enough to keep always."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple


class LinkStatistics(NamedTuple):
    """A link's figures; times in seconds."""

    buffers_in: int
    buffers_out: int
    bytes_in: int
    depth: int
    depth_bytes: int
    high_water: int
    high_water_bytes: int
    limit: int
    limit_bytes: int
    blocked_s: float


class StageStatistics(NamedTuple):
    """A stage's figures; times in seconds.

    ``fill`` is rows used over rows of the padded batches, where it batches; ``left`` are calls that were given up and
    have not come back.
    """

    calls: int
    failures: int
    busy_s: float
    p50_s: float
    p99_s: float
    fill: float | None
    left: int


@dataclass
class CallTimer:
    """Counts calls and keeps the last thousand durations for the percentiles."""

    calls: int = 0
    failures: int = 0
    busy: float = 0.0
    rows: int = 0
    room: int = 0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=1000))

    def add(self, seconds: float) -> None:
        """Enter one call."""
        self.calls += 1
        self.busy += seconds
        self.recent.append(seconds)

    def snapshot(self, left: int = 0) -> StageStatistics:
        """Take the figures as they stand."""
        ranked = sorted(self.recent)
        fill = self.rows / self.room if self.room else None
        return StageStatistics(self.calls, self.failures, self.busy, _at(ranked, 0.5), _at(ranked, 0.99), fill, left)


def _at(ranked: list[float], share: float) -> float:
    return ranked[min(int(share * len(ranked)), len(ranked) - 1)] if ranked else 0.0
