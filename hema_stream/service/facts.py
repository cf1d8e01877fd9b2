"""What a slide was opened as, as plain values: kept with its job so that it can be viewed later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hema_stream.core.slide import UPRIGHT, Level, Slide


def facts_of(slide: Slide) -> dict[str, Any]:
    """Write a slide down."""
    return {
        "width": slide.width,
        "height": slide.height,
        "mpp": slide.mpp,
        "levels": [[level.width, level.height, level.downsample] for level in slide.levels],
        "reader": slide.reader,
        "orientation": slide.orientation,
    }


def slide_of(job_id: str, path: Path, facts: Mapping[str, Any]) -> Slide:
    """Read what ``facts_of`` wrote, for looking at it: where the scale came from is not kept."""
    return Slide(
        id=job_id,
        path=path,
        width=facts["width"],
        height=facts["height"],
        mpp=facts["mpp"],
        scale_source=None,
        levels=tuple(Level(int(width), int(height), float(factor)) for width, height, factor in facts["levels"]),
        reader=facts["reader"],
        orientation=facts.get("orientation", UPRIGHT),
    )
