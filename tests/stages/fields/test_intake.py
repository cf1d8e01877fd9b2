"""Field intake: fields of several scans handed in while the pipeline runs."""

from __future__ import annotations

import asyncio
from typing import Any

from hema_stages.fields.intake import FieldIntake

from hema_stream.core.field import Field, FieldsPassed, Grid, Scan
from hema_stream.flow import Gap, Pipeline, Stage, loop
from hema_stream.flow.caps import Caps
from hema_stream.flow.stage import Pad

SCAN = Scan(64, 64, 0.5, None, (0.0, 0.0), Grid(3, 1, 30.0, 30.0))


class Noted(Stage):
    """Keep what comes, by scan, in order."""

    sinks = {"sink": Pad(Caps("image/field"))}
    runs_on = loop()

    def __init__(self) -> None:
        super().__init__("noted")
        self.order: list[tuple[str, Any]] = []

    def negotiate(self, caps: Caps) -> tuple[Caps, str]:
        return caps, caps.slide_id

    def process(self, item: Field, state: str, pad: str = "sink") -> None:
        self.order.append((state, item.index))

    def gap(self, gap: Gap, state: str) -> None:
        assert isinstance(gap, FieldsPassed)
        self.order.append((state, f"passed {gap.through}"))


def field(index: int) -> Field:
    return Field(index, 0.0, 0.0, "raw", b"")


async def test_scans_take_turns_and_watermarks_keep_their_places() -> None:
    pipeline, intake, noted = Pipeline(), FieldIntake("fields"), Noted()
    pipeline.add(intake)
    pipeline.add(noted)
    pipeline.link("fields.src", "noted.sink")
    async with pipeline:
        assert intake.waiting
        for name in ("a", "b"):
            intake.open(name, SCAN)
            for index in range(2):
                intake.push(name, field(index))
            intake.pass_by(name, FieldsPassed((), "watermark", through=1))
            intake.push(name, field(2))
            intake.close(name)
            intake.push(name, field(0))
        intake.push("nobody", field(0))
        intake.end()
        await asyncio.wait_for(pipeline.drain(), 10)
        assert pipeline.leftovers() == 0
    expected = [0, 1, "passed 1", 2]
    assert [what for name, what in noted.order if name == "a"] == expected
    assert [what for name, what in noted.order if name == "b"] == expected
    assert [name for name, _ in noted.order[:2]] == ["a", "b"]


async def test_a_scan_that_is_withdrawn_before_it_began_never_was() -> None:
    intake = FieldIntake("fields")
    intake.open("a", SCAN)
    intake.push("a", field(0))
    assert intake.withdraw("a")
    assert not intake.withdraw("a")
    assert intake.waiting
