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
        distance: how far the slide's cells lie from the site's, in its deviations; None until the slide's end, where
            the site has seen no slide, or where too few cells tell.
        limit: the distance beyond which a slide is taken for another laboratory's.
    """

    corrected: bool
    cells: int
    accuracy: float | None
    distance: float | None = None
    limit: float | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether the slide looks like another laboratory's, so that the site should not be used for it."""
        return self.distance is not None and self.limit is not None and self.distance > self.limit


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

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """Streams whose cells look like another laboratory's."""
        return tuple(sorted(name for name, use in self.streams.items() if use.elsewhere))
