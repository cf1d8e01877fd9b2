"""What a report says of the site that its answers were calibrated to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class StreamUse:
    """One stream of it.

    Attributes:
        corrected: whether a head of the site's own corrects the network.
        cells: how many cells people had named for it.
        accuracy: balanced accuracy of these cells, each left out in turn; None without a head.
    """

    corrected: bool
    cells: int
    accuracy: float | None


@dataclass(frozen=True)
class SiteUse:
    """The version of a site that was in use.

    Attributes:
        name, version: as a person knows it; identity: SHA-256 of its content.
        streams: by ``rbc`` and ``wbc``.
    """

    name: str
    version: int
    identity: str
    streams: Mapping[str, StreamUse]

    @property
    def calibrated(self) -> tuple[str, ...]:
        """Streams that the site's own head corrects."""
        return tuple(sorted(name for name, use in self.streams.items() if use.corrected))
