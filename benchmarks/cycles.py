"""Starts and stops of a pipeline: what stands after 1,000 of them is what stands after 10.

python benchmarks/cycles.py --cycles 1000
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import threading
from pathlib import Path

from hema_stream.flow import Pipeline, Transform, cpu
from hema_stream.flow.builtin import FakeSink, FakeSource


class Pass(Transform[int, int]):
    """Hands on what it gets, in threads."""

    runs_on = cpu(2)

    def process(self, item: int, state: object) -> int:  # type: ignore[override]
        return item


async def cycle(number: int) -> None:
    """One start and one stop: at once, in the middle, or after the drain."""
    pipeline = Pipeline()
    for stage in (FakeSource("source", num_buffers=20, slides=3), Pass("pass"), FakeSink(name="sink")):
        pipeline.add(stage)
    pipeline.link("source", "pass")
    pipeline.link("pass", "sink")
    await pipeline.start()
    if number % 3 == 1:
        await asyncio.sleep(0.002)
    elif number % 3 == 2:
        await pipeline.drain()
    await pipeline.stop(0.5)


def standing() -> tuple[int, int, int, float]:
    """Threads, tasks, descriptors, and MiB of resident memory."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return threading.active_count(), len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd")), resident


async def run(cycles: int) -> None:
    """Print a line at powers of ten."""
    print("cycles  threads  tasks  descriptors  MiB")
    for number in range(1, cycles + 1):
        await cycle(number)
        if number >= 10 and str(number).strip("0") == "1":
            await asyncio.sleep(0.3)
            print("{:6d} {:8d} {:6d} {:12d} {:6.1f}".format(number, *standing()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=1000)
    asyncio.run(run(parser.parse_args().cycles))


if __name__ == "__main__":
    main()
