"""What a scan is told to do, in order: taken in groups, and no more of it than there is to do."""

from __future__ import annotations

import asyncio
from collections import deque

from hema_stream.core.field import Field, FieldsPassed

Order = Field | FieldsPassed | None
"""A field, a watermark or the close, or that nothing follows."""
GROUP = 64
"""Most orders that are taken together."""


class Orders:
    """Orders that wait. A watermark right behind another takes its place: it says all that the earlier one did."""

    def __init__(self) -> None:
        self._waiting: deque[Order] = deque()
        self._any = asyncio.Event()

    def __len__(self) -> int:
        """Count what waits."""
        return len(self._waiting)

    def put(self, order: Order) -> None:
        """Add an order."""
        if self._waiting and _plain(order) and _plain(self._waiting[-1]):
            self._waiting[-1] = order
        else:
            self._waiting.append(order)
        self._any.set()

    async def take(self) -> list[Order]:
        """Wait for orders, and take what waits."""
        await self._any.wait()
        group = [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP))]
        if not self._waiting:
            self._any.clear()
        return group


def _plain(order: Order) -> bool:
    return isinstance(order, FieldsPassed) and order.taken is None and order.sealed is None
