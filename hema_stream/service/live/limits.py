"""Limits of the live protocol, as configs/service.yaml sets them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt


class LiveLimits(BaseModel):
    """Bytes, seconds and numbers; what each is for stands beside it in configs/service.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    part: PositiveInt
    mailbox: PositiveInt
    ring: PositiveInt
    first_credit: PositiveInt
    most_credit: PositiveInt
    beat: NonNegativeFloat
    most_beat: NonNegativeFloat
    heartbeat: PositiveFloat
    patience: PositiveFloat
    greeting: PositiveFloat
    snapshots: PositiveInt
    frame: PositiveInt
    view_cells: PositiveInt
    density_side: PositiveInt
    spill: PositiveInt
    clients: PositiveInt
    finished: PositiveInt
