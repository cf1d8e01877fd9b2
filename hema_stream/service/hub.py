"""The hub: feeds of all slides, fed by the pipeline's ``hub`` stage from its thread, followed on the loop."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import numpy as np

from hema_stream.core.calibration import Calibration
from hema_stream.core.delta import SlideDelta
from hema_stream.core.field_plan import SlidePlan
from hema_stream.core.naming import Naming
from hema_stream.core.result import TallyResult
from hema_stream.core.slide import Slide
from hema_stream.service.live import Change, End, Feed, LiveLimits, Outlines, PacedFeed


class LiveHub:
    """Feeds by slide. What the stage calls comes from its thread; everything else belongs to the loop.

    Attributes:
        on_opened: called on the loop when a slide was opened; whoever keeps jobs sets it.
    """

    def __init__(self, limits: LiveLimits) -> None:
        self._limits = limits
        self.on_opened: Callable[[Slide], None] = lambda _: None
        self._loop = asyncio.get_running_loop()
        self._feeds: OrderedDict[str, PacedFeed] = OrderedDict()

    # What the stage tells, in its thread.

    def opened(self, slide: Slide, calibration: Calibration, plan: SlidePlan) -> None:
        """Note what a slide is."""
        self._loop.call_soon_threadsafe(self._open, slide, image_message(slide, calibration, plan))

    def changed(self, delta: SlideDelta) -> None:
        """Pack a delta here, once for all clients, and hand it to the loop."""
        change = Change.of(delta)
        _ = change.frame
        self._loop.call_soon_threadsafe(self._publish, delta.slide, change, Outlines.of(delta.added), delta.naming)

    def settled(self, result: TallyResult) -> None:
        """Begin anew from a cancelled slide's result: its last deltas may have been lost with the cancellation."""
        self._loop.call_soon_threadsafe(self._name, result.slide.id, result.naming)
        if result.status == "partial":
            change = Change.of_result(result)
            self._loop.call_soon_threadsafe(self._restate, result.slide.id, change, Outlines.of(result.cells))

    # What the service does, on the loop.

    def begin(self, slide: str, name: str) -> Feed:
        """Begin a run of a slide; who follows an earlier one is sent away."""
        feed = self._feeds.get(slide)
        if feed is None or not feed.untouched:
            if feed is not None:
                feed.give_up()
            feed = self._feeds[slide] = self._new(slide, name)
        return feed

    def finish(self, slide: str, status: str, url: str | None, sha256: str | None) -> End:
        """Tell how a run ended, with the counts that it ended with; keep it for a while for those who come late."""
        feed = self._feeds.setdefault(slide, self._new(slide, slide))
        feed.flush()
        end = End(status, url, sha256, dict(feed.table.counts), dict(feed.table.progress))
        feed.close(end)
        self._feeds.move_to_end(slide)
        self._forget_the_oldest()
        return end

    def follow(self, slide: str, name: str) -> Feed:
        """The feed of a slide that is waiting or under way, or ended not long ago."""
        feed = self._feeds.get(slide)
        if feed is None:
            feed = self._feeds[slide] = self._new(slide, name)
        return feed

    def ended(self, slide: str, name: str, end: End) -> Feed:
        """The feed of a slide that has ended; a hollow one where its cells are no longer held."""
        feed = self._feeds.get(slide)
        if feed is None or feed.end is None:
            feed = self._new(slide, name)
            feed.hollow = True
            feed.close(end)
        return feed

    def unfollow(self, feed: Feed) -> None:
        """Forget a feed that nobody follows and nothing has happened in."""
        if feed.untouched and not feed.listeners and self._feeds.get(feed.slide) is feed:
            del self._feeds[feed.slide]

    def forget(self, slide: str) -> None:
        """Forget a slide that was deleted."""
        feed = self._feeds.pop(slide, None)
        if feed is not None:
            feed.give_up()

    def clients(self) -> int:
        """Count who follows."""
        return sum(len(feed.listeners) for feed in self._feeds.values())

    def counts(self, slide: str) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Counts and progress of a slide as they stand."""
        feed = self._feeds.get(slide)
        if feed:
            feed.flush()
        return (feed.table.counts, feed.table.progress) if feed else ({}, {})

    def naming(self, slide: str) -> Naming:
        """What names a slide's cells, as far as it was told."""
        feed = self._feeds.get(slide)
        return feed.naming if feed else Naming()

    # Within.

    def _new(self, slide: str, name: str) -> PacedFeed:
        return PacedFeed(slide, name, uuid4().hex, self._limits, self._loop.time, self._loop.call_later)

    def _open(self, slide: Slide, image: Mapping[str, Any]) -> None:
        self.on_opened(slide)
        if feed := self._feeds.get(slide.id):
            feed.open(image)

    def _publish(self, slide: str, change: Change, outlines: Outlines, naming: Naming) -> None:
        self._name(slide, naming)
        if feed := self._feeds.get(slide):
            feed.put(change, outlines)

    def _name(self, slide: str, naming: Naming) -> None:
        if feed := self._feeds.get(slide):
            feed.name_by(naming)

    def _restate(self, slide: str, change: Change, outlines: Outlines) -> None:
        if feed := self._feeds.get(slide):
            feed.flush()
            feed.restate(change, outlines)

    def _forget_the_oldest(self) -> None:
        over = [slide for slide, feed in self._feeds.items() if feed.end is not None]
        for slide in over[: -self._limits.finished]:
            del self._feeds[slide]


def image_message(slide: Slide, calibration: Calibration, plan: SlidePlan) -> dict[str, Any]:
    """The ``image`` message: what was opened, at which scale, and the part of it that each tile owns."""
    scale = calibration.scale
    cores = np.array([spec.core for spec in plan]).reshape(-1, 4) * scale.canonical
    return {
        "width": slide.width,
        "height": slide.height,
        "mpp": scale.mpp,
        "scale_source": scale.source.value,
        "scale": scale.canonical,
        "tiles": len(plan),
        "columns": plan.columns,
        "rows": plan.rows,
        "cores": cores.astype("<f4").tobytes(),
    }
