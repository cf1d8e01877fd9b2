"""hema.live.v1 without I/O: one table a slide, and for each client what it is sent next (docs/live-protocol.md)."""

from hema_stream.service.live.change import Change, Outlines, coalesce
from hema_stream.service.live.feed import End, Feed
from hema_stream.service.live.limits import LiveLimits
from hema_stream.service.live.paced import PacedFeed
from hema_stream.service.live.session import Close, Session
from hema_stream.service.live.table import Table

__all__ = ["Change", "Close", "End", "Feed", "LiveLimits", "Outlines", "PacedFeed", "Session", "Table", "coalesce"]
