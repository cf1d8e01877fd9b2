"""A white cell classifier ten times slower: the source waits, queues stay at their limits, nothing is lost.

python benchmarks/backpressure.py mosaic.tif
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from hema_stages.classify import Classify

from hema_stream.core.slide import InputImage
from hema_stream.service.build import build_pipeline

FACTOR = 10


def slow_down(stage: Classify) -> None:
    """Make each batch of one stage take ``FACTOR`` times as long."""
    plain = stage.process_batch

    def slowed(items: Any, states: Any) -> Any:
        began = time.perf_counter()
        labels = plain(items, states)
        time.sleep((FACTOR - 1) * (time.perf_counter() - began))
        return labels

    stage.process_batch = slowed  # type: ignore[method-assign]


async def analyse(slide: Path, slow: bool) -> tuple[dict[str, Any], float, dict[str, Any]]:
    """Counts, seconds and figures of one analysis."""
    with tempfile.TemporaryDirectory() as out:
        pipeline = build_pipeline(
            "smear", "cpu", ["report.overlay=false", "report.geojson=false"], {"report": {"out": Path(out)}}
        )
        pipeline["source"].inputs = [InputImage("slide", slide)]  # type: ignore[attr-defined]
        if slow:
            slow_down(pipeline["classify_wbc"])  # type: ignore[arg-type]
        async with pipeline:
            began = time.perf_counter()
            await pipeline.drain()
            wall = time.perf_counter() - began
            figures = pipeline.statistics()
            left = pipeline.leftovers()
        report = json.loads((Path(out) / "slide" / "report.json").read_text())
    if left:
        raise SystemExit(f"{left} left in queues")
    return report["summary"] | {"tiles": report["quality_metrics"]["tiles"]}, wall, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    asked = parser.parse_args()
    for slow in (False, True):
        counts, wall, figures = asyncio.run(analyse(asked.slide, slow))
        print(f"{'slowed' if slow else 'as it is'}: {wall:.1f} s, {counts}")
        for name, link in figures["links"].items():
            full = "at its limit" if link.high_water >= link.limit or link.high_water_bytes >= link.limit_bytes else ""
            over = "OVER" if link.high_water > link.limit else ""
            print(
                f"  {name:44} most {link.high_water:5d} of {link.limit:5d}, {link.high_water_bytes >> 20:4d} of "
                f"{link.limit_bytes >> 20} MiB, waited {link.blocked_s:6.2f} s {full} {over}"
            )


if __name__ == "__main__":
    main()
