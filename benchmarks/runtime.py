"""The runtime alone: ten pass-through stages on the loop, microseconds a buffer and hop.

python benchmarks/runtime.py --buffers 20000 --runs 5
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any

import uvloop

from hema_stream.flow import Buffer, Caps, CapsEvent, Eos, Pipeline, Sink, Source, StreamStart, Transform, loop

STAGES = 10
CAPS = Caps("bench/number")


class Numbers(Source):
    """Emits one slide of numbers."""

    produces = CAPS
    count = 0

    async def stream(self) -> AsyncIterator[Any]:
        yield StreamStart("slide")
        yield CapsEvent("slide", CAPS)
        for number in range(self.count):
            yield Buffer("slide", number)
        yield Eos("slide")


class Pass(Transform[int, int]):
    """Hands on what it gets."""

    accepts = CAPS
    produces = CAPS
    runs_on = loop()

    def process(self, item: int, state: Any) -> int:  # type: ignore[override]
        return item


class Count(Sink):
    """Counts what arrives."""

    accepts = CAPS
    runs_on = loop()
    seen = 0

    def process(self, item: int, state: Any) -> None:  # type: ignore[override]
        self.seen += 1


async def run_once(buffers: int, stages: int) -> float:
    """Seconds that ``buffers`` take through ``stages`` pass-through stages between a source and a sink."""
    pipeline = Pipeline()
    source, sink = Numbers("source"), Count("sink")
    source.count = buffers
    pipeline.add(source)
    previous = "source"
    for position in range(stages):
        pipeline.add(Pass(f"pass{position}"))
        pipeline.link(f"{previous}.src", f"pass{position}.sink")
        previous = f"pass{position}"
    pipeline.add(sink)
    pipeline.link(f"{previous}.src", "sink.sink")
    async with pipeline:
        began = time.perf_counter()
        await pipeline.drain()
        spent = time.perf_counter() - began
    if sink.seen != buffers:
        raise SystemExit(f"{buffers - sink.seen} buffers were lost")
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--buffers", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    uvloop.run(run_once(asked.buffers // 10, STAGES))
    walls = [uvloop.run(run_once(asked.buffers, STAGES)) for _ in range(asked.runs)]
    hops = [wall / asked.buffers / (STAGES + 1) * 1e6 for wall in walls]
    print(f"{asked.buffers} buffers through {STAGES} stages and a sink, {asked.runs} runs")
    print(f"a buffer and hop: median {statistics.median(hops):.2f} us, {min(hops):.2f} to {max(hops):.2f} us")


if __name__ == "__main__":
    main()
