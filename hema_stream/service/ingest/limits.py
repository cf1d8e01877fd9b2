"""Limits of scans: configs/service.yaml, ``ingest``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, PositiveInt


class IngestLimits(BaseModel):
    """Sizes in bytes, times in seconds, lengths in um."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    open: PositiveInt
    fitted: PositiveInt
    allowance: NonNegativeInt
    memory: PositiveInt
    frame: PositiveInt
    pixels: PositiveInt
    fields: PositiveInt
    farthest: PositiveFloat
    position: PositiveFloat
    heartbeat: PositiveFloat
    interval: PositiveFloat
    patience: PositiveFloat

    def window(self, field_bytes: int) -> int:
        """Fields of so many decoded bytes that may be under way before they are tiles: at least those to fit on."""
        return max(min(self.fitted + self.allowance, self.memory // max(field_bytes, 1)), self.fitted)
