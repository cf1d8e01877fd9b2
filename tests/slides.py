"""Running the smear pipeline on one slide within the test's own process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hema_stream.core.slide import InputImage
from hema_stream.flow import Pipeline
from hema_stream.service.build import build_pipeline

MPP = 0.191


def run(
    slide: Path,
    out: Path,
    disturb: Callable[[Pipeline], Any] = lambda _: None,
    mpp: float = MPP,
    settings: Sequence[str] = (),
) -> dict:
    """Analyse one slide with ``disturb`` done to the started pipeline; its report."""

    async def analyse() -> None:
        defaults = {"report": {"out": out, "overlay": False, "geojson": False}}
        pipeline = build_pipeline("smear", "cpu", settings, defaults)
        pipeline["source"].inputs = [InputImage("slide", slide, mpp)]  # type: ignore[attr-defined]
        async with pipeline:
            disturb(pipeline)
            await asyncio.wait_for(pipeline.drain(), 100)
            assert pipeline.leftovers() == 0

    asyncio.run(analyse())
    return json.loads((out / "slide" / "report.json").read_text())
