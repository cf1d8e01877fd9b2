"""A package of somebody else's: installed beside hema-stream, it adds a stage and touches nothing of ours."""

from __future__ import annotations

from typing import Any

from hema_stream.flow import Transform, loop, prop


class Multiply(Transform[int, int]):
    """Multiply numbers."""

    runs_on = loop()
    times: int = prop(2, doc="by which numbers are multiplied", unit="times", ge=1, le=100)

    def process(self, item: int, state: Any, pad: str = "sink") -> int:
        return item * self.times
