"""What every part of a configuration has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of a configuration: unknown keys are faults, and nothing changes it later."""

    model_config = ConfigDict(extra="forbid", frozen=True)
