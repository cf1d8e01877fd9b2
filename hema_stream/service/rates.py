"""How often an address may ask, and how often it may show a wrong token or ticket."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from hema_stream.service.problems import ProblemError
from hema_stream.service.settings import HttpLimits


class Rates:
    """Counts by address, in memory."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._requests, self._refusals = limits.request_rate, limits.refusal_rate

    def count(self, request: web.Request) -> None:
        """Count a request.

        Raises:
            ProblemError: 429, the address asks too often or was refused too often.
        """
        address = request.remote or ""
        self._hit(self._requests, "requests", address)
        if not self._limiter.test(self._refusals, "refusals", address):
            raise self._too_many(self._refusals)

    def refuse(self, request: web.Request) -> None:
        """Count a wrong token or ticket."""
        self._limiter.hit(self._refusals, "refusals", request.remote or "")

    def _hit(self, rate: RateLimitItem, kind: str, address: str) -> None:
        if not self._limiter.hit(rate, kind, address):
            raise self._too_many(rate)

    def _too_many(self, rate: RateLimitItem) -> ProblemError:
        wait = {"Retry-After": str(rate.get_expiry())}
        return ProblemError(HTTPStatus.TOO_MANY_REQUESTS, "rate", f"more than {rate} from this address", wait)
