"""How often a token, or an address without one, may ask, and how often an address may show a wrong token or ticket.

Who shows a good token is never held up by what others at the same address do.
"""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from hema_stream.service.problems import ProblemError
from hema_stream.service.settings import HttpLimits


class Rates:
    """Counts by token and address, in memory."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._requests, self._refusals = limits.request_rate, limits.refusal_rate

    def count(self, request: web.Request, token: str = "") -> None:
        """Count a request to its token, or to its address where it needs none.

        Raises:
            ProblemError: 429, there are too many.
        """
        kind, who = ("token", token) if token else ("requests", request.remote or "")
        if not self._limiter.hit(self._requests, kind, who):
            raise self._too_many(self._requests)

    def refuse(self, request: web.Request) -> None:
        """Count a wrong token or ticket.

        Raises:
            ProblemError: 429, the address has shown too many.
        """
        if not self._limiter.hit(self._refusals, "refusals", request.remote or ""):
            raise self._too_many(self._refusals)

    def _too_many(self, rate: RateLimitItem) -> ProblemError:
        wait = {"Retry-After": str(rate.get_expiry())}
        return ProblemError(HTTPStatus.TOO_MANY_REQUESTS, "rate", f"more than {rate} from this address", wait)
