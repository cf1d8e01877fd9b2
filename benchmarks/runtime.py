"""The runtime alone: ten pass-through stages on the loop, microseconds of CPU time a buffer and hop.

Beside it anyio's memory object streams do the same, run by run in turn, where anyio is installed.

python benchmarks/runtime.py --buffers 20000 --runs 5
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import Any

import uvloop

from hema_stream.flow import Buffer, Caps, CapsEvent, Eos, Pipeline, Sink, Source, StreamStart, Transform, loop
from hema_stream.flow.pipeline import MAX_ITEMS

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
    """Seconds of CPU time that ``buffers`` take through ``stages`` pass-through stages between a source and a sink."""
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
        began = time.process_time()
        await pipeline.drain()
        spent = time.process_time() - began
    if sink.seen != buffers:
        raise SystemExit(f"{buffers - sink.seen} buffers were lost")
    return spent


async def streams(buffers: int, stages: int) -> float:
    """Seconds of CPU time that anyio's streams take, with as many items between the stages."""
    import anyio

    pairs = [anyio.create_memory_object_stream[int](MAX_ITEMS) for _ in range(stages + 1)]
    passing, seen = Pass("pass"), 0

    async def source() -> None:
        async with pairs[0][0] as out:
            for number in range(buffers):
                await out.send(number)

    async def stage(position: int) -> None:
        async with pairs[position][1] as into, pairs[position + 1][0] as out:
            async for item in into:
                await out.send(passing.process(item, None))

    began = time.process_time()
    async with anyio.create_task_group() as group:
        group.start_soon(source)
        for position in range(stages):
            group.start_soon(stage, position)
        async with pairs[-1][1] as last:
            async for _ in last:
                seen += 1
    if seen != buffers:
        raise SystemExit(f"{buffers - seen} buffers were lost")
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--buffers", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    kinds = {"hema_stream.flow": run_once}
    if find_spec("anyio"):
        kinds["anyio streams"] = streams
    spent: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(asked.runs + 1):
        for name, work in kinds.items():
            seconds = uvloop.run(work(asked.buffers, STAGES))
            if number:  # the first run of each warms up
                spent[name].append(seconds / asked.buffers / (STAGES + 1) * 1e6)
    print(f"{asked.buffers} buffers through {STAGES} stages and a sink, {asked.runs} runs; CPU time a buffer and hop")
    for name, hops in spent.items():
        print(f"{name:18} median {statistics.median(hops):.2f} us, {min(hops):.2f} to {max(hops):.2f} us")
    if len(spent) > 1:
        ours, theirs = map(statistics.median, spent.values())
        print(f"ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
