"""Running an evaluation pipeline and collecting what it says of each picture."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hema_stream.core.slide import InputImage


@dataclass(frozen=True)
class Collected:
    """What a pipeline said.

    Attributes:
        items: by image id, everything that reached ``collect``.
        failed: by image id, why it has no result.
        networks: by stage, identity of the weights of each classifier.
    """

    items: Mapping[str, Sequence[Any]]
    failed: Mapping[str, str]
    networks: Mapping[str, str] = field(default_factory=dict)


def collect(pipeline: str, inputs: Sequence[InputImage], profile: str, settings: Sequence[str]) -> Collected:
    """Run ``configs/pipelines/<pipeline>.launch`` over the inputs with a profile and ``stage.prop=value`` settings."""
    return asyncio.run(_collect(pipeline, inputs, profile, settings))


async def _collect(pipeline: str, inputs: Sequence[InputImage], profile: str, settings: Sequence[str]) -> Collected:
    from hema_stream.service.build import build_pipeline

    running: Any = build_pipeline(pipeline, profile, settings)
    running["source"].inputs = list(inputs)
    outcomes = await running.run()
    failed = {slide: str(outcome.error) for slide, outcome in outcomes.items() if outcome.error}
    return Collected(running["collect"].items, failed, dict(_networks(running)))


def _networks(running: Any) -> Iterator[tuple[str, str]]:
    from hema_models.cards import find_card

    from hema_stream.service.build import CLASSIFIERS

    stages = running.topology.stages
    for name in CLASSIFIERS:
        if name in stages:
            yield name, find_card(stages[name].model or stages[name].stream).sha256
