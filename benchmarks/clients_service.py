"""The service of benchmarks/clients.py: its own hub, API and report behind a tally that works for a set time a delta.

The work is a matrix product of a fixed size, as often as the first run showed to fill the time: it lets other threads
run, as inference does, and is the same in all runs. Reads ``go`` and then ``stop`` from standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import uvloop
from aiohttp import web
from clients_names import EMITTED
from pretend import PretendSurvey, _labels
from smear import calibration, mixed, slide

from hema_stream.core.delta import SlideDelta
from hema_stream.core.slide import InputImage
from hema_stream.core.tile import TilePlan
from hema_stream.flow import Caps, Pad, Pipeline, Policy, Registry, Stage, cpu
from hema_stream.service import warm
from hema_stream.service.app import make_app
from hema_stream.service.auth import Scope
from hema_stream.service.jobs import Origin
from hema_stream.service.parts import DISPATCHER, STORE, TOKENS
from hema_stream.service.settings import ServiceSettings, load_limits
from hema_stream.service.submission import new_job

SIDE = 192


class Work:
    """A matrix product, repeated."""

    def __init__(self, seconds: float, times: int) -> None:
        rng = np.random.default_rng(0)
        self._matrix = rng.random((SIDE, SIDE), np.float32)
        self.times = times or self._fitting(seconds)

    def do(self) -> None:
        """Work once."""
        for _ in range(self.times):
            _ = self._matrix @ self._matrix

    def _fitting(self, seconds: float) -> int:
        until, count = time.monotonic() + 3.0, 0
        began = time.monotonic()
        while time.monotonic() < until:
            _ = self._matrix @ self._matrix
            count += 1
        return max(int(count * seconds / (time.monotonic() - began)), 1)


class Spread(Stage):
    """Turn an image into as many steps as there will be deltas."""

    sinks = {"sink": Pad(Caps("image/input"))}
    sources = {"src": Pad(Caps("bench/step"))}
    runs_on = cpu(threads=1)
    steps = 0

    def negotiate(self, caps: Caps) -> tuple[Caps, None]:  # type: ignore[override]
        return Caps("bench/step"), None

    def process(self, item: InputImage, state: None, pad: str = "sink") -> Iterator[Any]:
        for step in range(self.steps):
            yield item, step


class Worked(Stage):
    """A tally that works for each delta."""

    sinks = {"sink": Pad(Caps("bench/step"))}
    sources = {"deltas": Pad(Caps("slide/delta"), request=True), "report": Pad(Caps("slide/result"), request=True)}
    runs_on = cpu(threads=1)
    on_error = Policy.FAIL_SLIDE
    work: Work
    cells = steps = 0

    def __init__(self, name: str = "", **properties: Any) -> None:
        super().__init__(name, **properties)
        self.go = threading.Event()
        self.began = self.ended = self.cpu = 0.0

    def negotiate(self, caps: Caps) -> tuple[None, dict[str, Any]]:  # type: ignore[override]
        return None, {}

    def process(self, item: tuple[InputImage, int], state: dict[str, Any], pad: str = "sink") -> Iterator[Any]:
        image, step = item
        if step == 0:
            yield self._open(image, state)
        self.work.do()
        first, last = (self.cells * n // self.steps for n in (step, step + 1))
        yield "deltas", _delta(image.id, step + 1, state["result"], first, last, last == self.cells)
        if last == self.cells:
            self.ended, self.cpu = time.monotonic(), time.process_time() - self.cpu
            yield "report", state["result"]

    def _open(self, image: InputImage, state: dict[str, Any]) -> Caps:
        self.go.wait()
        made = replace(slide(4000, 3000, name=image.id), path=image.path)
        state["result"] = mixed(self.cells, image=made)
        self.began, self.cpu = time.monotonic(), time.process_time()
        plan = TilePlan(made.width, made.height, state["result"].calibration.scale)
        return Caps("slide/delta", slide=made, calibration=calibration(), plan=plan)


def _delta(name: str, seq: int, result: Any, first: int, last: int, over: bool) -> SlideDelta:
    chosen = np.arange(first, last)
    labels = tuple(_labels(result, chosen, kind, stream) for kind, stream in enumerate(("rbc", "wbc")))
    counts = {"cells": last, EMITTED: time.monotonic_ns() // 1000}
    progress = {**(result.tiles if over else dict.fromkeys(result.tiles, 0)), "planned": 1}
    nothing = np.zeros((0, 2), np.int32)
    return SlideDelta(
        name, seq, result.cells.take(chosen), nothing, labels, counts, progress, {0: "analysed"} if over else {}
    )


def pipeline(settings: Any, work: Work, cells: int, steps: int) -> Pipeline:
    """The service's own stages around the two above."""
    made, registry = Pipeline(), Registry()
    spread, tally = Spread("spread"), Worked("tally")
    spread.steps, tally.steps, tally.cells, tally.work = steps, steps, cells, work
    for name in ("intake", "fields", "funnel", "hub"):
        made.add(registry.load(name)(name=name))
    for stage in (PretendSurvey("survey"), spread, tally):
        made.add(stage)
    made.add(registry.load("report")(name="report", out=settings["report"]["out"], overlay=False, geojson=False))
    made.link("intake.src", "funnel")
    made.link("fields.src", "survey.sink")
    made.link("survey.src", "funnel")
    made.link("funnel.src", "spread.sink")
    made.link("spread.src", "tally.sink")
    made.link("tally.deltas", "hub.sink")
    made.link("tally.report", "hub.result")
    made.link("hub.src", "report.sink")
    return made


async def serve(data: Path, cells: int, steps: int, seconds: float, times: int) -> None:
    """Serve one slide; says where, and how it went, as lines of JSON."""
    work = Work(seconds / steps, times)
    warm.build_pipeline = lambda _name, _profile, _settings, defaults: pipeline(defaults, work, cells, steps)
    limits = load_limits()
    http = limits.http.model_copy(update={"requests": "1000000/minute"})
    app = await make_app(ServiceSettings(data=data, roots=(data,), limits=limits.model_copy(update={"http": http})))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    token = await asyncio.to_thread(app[TOKENS].create, "bench", [Scope.ADMIN])
    image = data / "slide.png"
    image.write_bytes(b"picture")
    job = new_job("slide.png", image, Origin.PATH, mpp=None, priority=0)
    await asyncio.to_thread(app[STORE].add, job)
    app[DISPATCHER].wake()
    _say(base=f"http://127.0.0.1:{runner.addresses[0][1]}", token=token, slide=job.id, times=work.times)
    await asyncio.to_thread(sys.stdin.readline)
    stage: Any = app[DISPATCHER].pipeline._stage("tally")
    resident = asyncio.create_task(_resident())
    stage.go.set()
    while True:
        (found,) = (await asyncio.to_thread(app[STORE].page)).jobs
        if found.finished:
            break
        await asyncio.sleep(0.1)
    resident.cancel()
    (memory,) = await asyncio.gather(resident, return_exceptions=False)
    _say(seconds=stage.ended - stage.began, cpu=stage.cpu, status=found.status, resident=memory)
    await asyncio.to_thread(sys.stdin.readline)
    await runner.cleanup()


async def _resident() -> list[float]:
    """MiB of this process, once a second until cancelled."""
    process, seen = psutil.Process(), []
    try:
        while True:
            seen.append(process.memory_info().rss / 2**20)
            await asyncio.sleep(1.0)
    except asyncio.CancelledError:
        return seen


def _say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    folder, cell_count, step_count, whole, count, core = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    uvloop.run(serve(Path(folder), int(cell_count), int(step_count), float(whole), int(count)))
