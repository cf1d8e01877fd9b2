"""A feed with a beat: with few clients every change goes out at once, with many those of a moment go out together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hema_stream.service.live.change import Change, Outlines
from hema_stream.service.live.feed import Feed
from hema_stream.service.live.limits import LiveLimits


class Due(Protocol):
    """Something that is to happen later."""

    def cancel(self) -> None:
        """Let it not happen."""


class PacedFeed(Feed):
    """Gathers changes for a time that grows with the clients, so that their cost does not.

    A message costs the process the same whatever is in it; the pipeline, which works beside, would pay for each.

    Args:
        clock: seconds, monotonic; later: calls something after so many seconds.
    """

    def __init__(
        self,
        slide: str,
        name: str,
        run: str,
        limits: LiveLimits,
        clock: Callable[[], float],
        later: Callable[[float, Callable[[], None]], Due],
    ) -> None:
        super().__init__(slide, name, run, limits)
        self._clock, self._later = clock, later
        self._gathered: list[tuple[Change, Outlines]] = []
        self._last = float("-inf")
        self._due: Due | None = None

    @property
    def beat(self) -> float:
        """Seconds between two messages to everybody."""
        return min(self.limits.beat * len(self.listeners), self.limits.most_beat)

    def put(self, change: Change, outlines: Outlines) -> None:
        """Take a change; it is published now, or with others before a beat is over."""
        self._gathered.append((change, outlines))
        if self._due is not None:
            return
        wait = self._last + self.beat - self._clock()
        if wait <= 0:
            self.flush()
        else:
            self._due = self._later(wait, self.flush)

    def flush(self) -> None:
        """Publish what was gathered."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._last = self._clock()
            self.publish(*gathered)
