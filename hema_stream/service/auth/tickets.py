"""One-time tickets: a browser cannot send a header with a WebSocket, and a token must not travel in a URL."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from hashlib import sha256

from hema_stream.service.settings import TicketLimits


class Tickets:
    """Outstanding tickets, in memory; each serves once, for one slide, for some seconds."""

    def __init__(self, limits: TicketLimits) -> None:
        self._limits = limits
        self._open: OrderedDict[str, tuple[str, float]] = OrderedDict()

    @property
    def seconds(self) -> float:
        """How long a ticket is good for."""
        return self._limits.seconds

    def issue(self, slide: str, now: float) -> str:
        """Make a ticket for a slide; past the limit the oldest dies."""
        ticket = secrets.token_urlsafe(32)
        self._open[_hash(ticket)] = (slide, now + self._limits.seconds)
        while len(self._open) > self._limits.most:
            self._open.popitem(last=False)
        return ticket

    def redeem(self, ticket: str, slide: str, now: float) -> bool:
        """Use a ticket up, whatever comes of it; whether it was good for this slide and now."""
        found = self._open.pop(_hash(ticket), None)
        return found is not None and found[0] == slide and now < found[1]


def _hash(ticket: str) -> str:
    return sha256(ticket.encode()).hexdigest()
