"""Running an evaluation pipeline and collecting what it says of each picture."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hema_stream.core.slide import InputImage


@dataclass(frozen=True)
class Collected:
    """What a pipeline said.

    Attributes:
        items: by image id, everything that reached ``collect``.
        failed: by image id, why it has no result.
        models: identities of the networks that ran.
    """

    items: Mapping[str, Sequence[Any]]
    failed: Mapping[str, str]
    models: Mapping[str, str] = field(default_factory=dict)


def collect(pipeline: str, inputs: Sequence[InputImage], profile: str, settings: Sequence[str]) -> Collected:
    """Run ``configs/pipelines/<pipeline>.launch`` over the inputs with a profile and ``stage.prop=value`` settings."""
    return asyncio.run(_collect(pipeline, inputs, profile, settings))


async def _collect(pipeline: str, inputs: Sequence[InputImage], profile: str, settings: Sequence[str]) -> Collected:
    from hema_stream.core.configs import config_root
    from hema_stream.core.profiles import load_properties
    from hema_stream.flow import parse_launch

    text = (config_root() / "pipelines" / f"{pipeline}.launch").read_text(encoding="utf-8")
    running = parse_launch(text, properties=load_properties(profile, settings, text))
    running["source"].inputs = list(inputs)
    outcomes = await running.run()
    failed = {slide: str(outcome.error) for slide, outcome in outcomes.items() if outcome.error}
    return Collected(running["collect"].items, failed)
