"""Intake: slides handed in while the pipeline runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hema_stages.intake import Intake

from hema_stream.core.slide import InputImage
from hema_stream.flow import Pipeline
from hema_stream.flow.builtin import FakeSink
from hema_stream.flow.bus import SlideEnded


def image(name: str) -> InputImage:
    return InputImage(name, Path(f"{name}.png"))


async def ended(pipeline: Pipeline, name: str) -> None:
    async with asyncio.timeout(5):
        async for message in pipeline.bus:
            if isinstance(message, SlideEnded) and message.slide == name:
                return


async def test_images_become_slides_while_it_runs_until_it_is_ended() -> None:
    pipeline, intake, sink = Pipeline(), Intake("intake"), FakeSink()
    pipeline.add(intake)
    pipeline.add(sink)
    pipeline.link("intake.src", f"{sink.name}.sink")
    async with pipeline:
        for name in ("a", "b"):
            intake.offer(image(name))
            await ended(pipeline, name)
        assert intake.waiting
        intake.offer(image("c"))
        assert not intake.waiting
        intake.end()
        await asyncio.wait_for(pipeline.drain(), 5)
        assert {name: outcome.status for name, outcome in pipeline.outcomes.items()} == dict.fromkeys("abc", "done")
        assert pipeline.leftovers() == 0


def test_what_is_not_yet_a_slide_can_be_withdrawn() -> None:
    intake = Intake("intake")
    intake.offer(image("a"))
    assert not intake.withdraw("b")
    assert intake.withdraw("a")
    assert intake.waiting
