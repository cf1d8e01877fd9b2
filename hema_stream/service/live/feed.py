"""One run of a slide as clients follow it: its table, its latest changes, its end, and who listens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from hema_stream.core.naming import Naming
from hema_stream.service.live.change import Change, Outlines, coalesce
from hema_stream.service.live.limits import LiveLimits
from hema_stream.service.live.ring import Ring
from hema_stream.service.live.table import Table


@dataclass(frozen=True)
class End:
    """How a slide ended: ``done``, ``rejected``, ``failed`` or ``cancelled``; counts and progress are the report's.

    Attributes:
        url: path of report.json on this server, None where none was written; sha256: of its bytes.
    """

    status: str
    url: str | None = None
    sha256: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    progress: Mapping[str, int] = field(default_factory=dict)


class Listener(Protocol):
    """Whoever follows a feed."""

    def changed(self, change: Change) -> None:
        """The table has changed."""

    def restated(self) -> None:
        """The table is another one; what was sent before no longer counts."""

    def noticed(self) -> None:
        """Something else of the feed has: its image, its end, or that it was given up."""


class Feed:
    """One run of one slide.

    Attributes:
        image: the ``image`` message's map, once the slide was opened.
        naming: what names its cells; a site's own classes are known with the first labels.
        end: how it ended; None while it runs or waits.
        hollow: whether it only tells an end: its cells are no longer in memory.
        given_up: whether another run has taken its place.
    """

    def __init__(self, slide: str, name: str, run: str, limits: LiveLimits) -> None:
        self.slide, self.name, self.run, self.limits = slide, name, run, limits
        self.table = Table(limits.spill)
        self.ring = Ring(limits.ring)
        self.image: Mapping[str, Any] | None = None
        self.naming = Naming()
        self.end: End | None = None
        self.hollow = self.given_up = False
        self.status = "queued"
        self.listeners: set[Listener] = set()

    @property
    def untouched(self) -> bool:
        """Whether nothing has happened in it."""
        return self.image is None and self.end is None and not self.table.seq

    def open(self, image: Mapping[str, Any]) -> None:
        """Tell what the slide is."""
        self.image, self.status = image, "running"
        self._notice()

    def name_by(self, naming: Naming) -> None:
        """Note what names the cells, before labels of its classes are published."""
        if naming is not self.naming:
            self.naming = naming
            self._notice()

    def publish(self, *changes: tuple[Change, Outlines]) -> None:
        """Enter consecutive changes and hand them, as one, to all who listen; nobody can make this wait."""
        for change, outlines in changes:
            self.table.apply(change, outlines)
            self.ring.append(change)
        told = [change for change, _ in changes]
        together = told[0] if len(told) == 1 else coalesce(told)
        for listener in self.listeners:
            listener.changed(together)

    def restate(self, whole: Change, outlines: Outlines) -> None:
        """Begin the table anew with everything that stands, and let all who listen read it as a snapshot."""
        seq, before = self.table.seq + 1, self.table
        self.table, self.ring = Table(self.limits.spill), Ring(self.limits.ring)
        self.table.apply(replace(whole, first=seq, last=seq, tiles=before.tiles(0, before.tile_count)), outlines)
        for listener in self.listeners:
            listener.restated()

    def close(self, end: End) -> None:
        """Tell how it ended; nothing changes after it."""
        self.end, self.status = end, end.status
        self._notice()

    def give_up(self) -> None:
        """Send everyone away: the slide is begun anew."""
        self.given_up = True
        self._notice()

    def _notice(self) -> None:
        for listener in self.listeners:
            listener.noticed()
