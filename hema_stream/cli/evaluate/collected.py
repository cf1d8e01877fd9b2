"""Running an evaluation pipeline and collecting what it says of each picture."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hema_stream.core.slide import InputImage


@dataclass(frozen=True)
class Collected:
    """What a pipeline said.

    Attributes:
        items: by image id, everything that reached ``collect``.
        failed: by image id, why it has no result.
    """

    items: Mapping[str, Sequence[Any]]
    failed: Mapping[str, str]


def collect(pipeline: str, inputs: Sequence[InputImage], profile: str, settings: Sequence[str]) -> Collected:
    """Run ``configs/pipelines/<pipeline>.launch`` over the inputs with a profile and ``stage.prop=value`` settings."""
    return asyncio.run(_collect(pipeline, inputs, profile, settings))


async def _collect(pipeline: str, inputs: Sequence[InputImage], profile: str, settings: Sequence[str]) -> Collected:
    from hema_stream.service.build import build_pipeline

    running: Any = build_pipeline(pipeline, profile, settings)
    running["source"].inputs = list(inputs)
    outcomes = await running.run()
    failed = {slide: str(outcome.error) for slide, outcome in outcomes.items() if outcome.error}
    return Collected(running["collect"].items, failed)
