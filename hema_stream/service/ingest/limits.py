"""Limits of scans: configs/service.yaml, ``ingest``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, PositiveInt

Durability = Literal["group", "none"]


class IngestLimits(BaseModel):
    """Sizes in bytes, times in seconds, lengths in um.

    Attributes:
        durability: ``group`` acknowledges fields once they lie on the disk, so that a loss of power takes none.
        sealed: regions that a scan without a grid may seal.
        messages: that a connection may send without credits, a second; more of them wait.
    """

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
    durability: Durability
    sealed: PositiveInt
    messages: PositiveFloat

    def window(self, field_bytes: int) -> int:
        """Fields of so many decoded bytes that may be under way before they are tiles: at least those to fit on."""
        return max(min(self.fitted + self.allowance, self.memory // max(field_bytes, 1)), self.fitted)
