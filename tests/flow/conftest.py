"""Pipelines of the contract's tests."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from hema_stream.flow import Pipeline


@pytest.fixture
def chain():
    """Link stages one after another."""

    def build(*stages: Any, **limits: Any) -> Pipeline:
        pipeline = Pipeline()
        for stage in stages:
            pipeline.add(stage)
        for a, b in pairwise(stages):
            pipeline.link(a.name, b.name, **limits)
        return pipeline

    return build


@pytest.fixture
def run():
    """Run a pipeline to its end within a time."""

    async def go(pipeline: Pipeline, seconds: float = 20.0) -> Any:
        return await asyncio.wait_for(pipeline.run(), seconds)

    return go
