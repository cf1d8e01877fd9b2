"""End to end: distinct cells a second on one slide, networks loaded and warm, artefacts written or not.

python benchmarks/speed.py mosaic.tif --runs 3 --json speed.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import uvloop

from hema_stream.core.heap import bound_heap
from hema_stream.core.slide import InputImage
from hema_stream.flow.bus import SlideEnded
from hema_stream.service.build import build_pipeline


async def measure(slide: Path, runs: int, profile: str, settings: list[str], artefacts: bool) -> dict:
    """Start once, then analyse the slide ``runs`` + 1 times in turn; the first warms up and is not counted."""
    bound_heap()  # as the program does at its start
    off = [] if artefacts else ["report.overlay=false", "report.geojson=false"]
    with tempfile.TemporaryDirectory() as out:
        pipeline = build_pipeline("smear", profile, [*settings, *off], {"report": {"out": Path(out)}})
        source = pipeline["source"]
        source.inputs = [InputImage(f"run{n}", slide) for n in range(runs + 1)]
        source.max_open = 1
        began = time.perf_counter()
        ended: list[float] = []
        async with pipeline:
            started = time.perf_counter() - began

            async def watch() -> None:
                async for message in pipeline.bus:
                    if isinstance(message, SlideEnded):
                        ended.append(time.perf_counter())
                        if message.error:
                            print(message.error)

            reading = asyncio.create_task(watch())
            await pipeline.drain()
            figures = pipeline.statistics()
            pipeline.bus.close()
            await reading
        cells = json.loads((Path(out) / f"run{runs}" / "report.json").read_text())["summary"]["total_cells"]
    walls = [b - a for a, b in pairwise(ended)]
    return {"startup_s": started, "walls_s": walls, "cells": cells, "statistics": figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    results = {}
    print(f"{'artefacts':10}{'cells':>8}{'start-up s':>12}{'wall s (median)':>17}{'cells/s':>9}")
    for artefacts in (True, False):
        got = uvloop.run(measure(asked.slide, asked.runs, asked.profile, asked.settings, artefacts))
        wall = sorted(got["walls_s"])[len(got["walls_s"]) // 2]
        name = "written" if artefacts else "report"
        print(f"{name:10}{got['cells']:>8}{got['startup_s']:>12.2f}{wall:>17.2f}{got['cells'] / wall:>9.0f}")
        results[name] = {k: v for k, v in got.items() if k != "statistics"} | {"cells_per_s": got["cells"] / wall}
        if artefacts:
            for stage, s in got["statistics"]["stages"].items():
                fill = f"  fill {s.fill:.0%}" if s.fill else ""
                if s.calls:
                    print(f"  {stage:14}{s.calls:>6} calls{s.busy_s:>9.2f} s  p50 {s.p50_s * 1e3:>8.1f} ms{fill}")
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
