"""A pipeline for tests of the service: no network looks at the image; what is found depends on its name alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from smear import calibration, mixed, slide

from hema_stream.core.cells import CellTable
from hema_stream.core.crops import Labels
from hema_stream.core.delta import SlideDelta
from hema_stream.core.errors import InputCode, InputError
from hema_stream.core.field import Field, FieldsPassed
from hema_stream.core.result import TallyResult
from hema_stream.core.slide import InputImage
from hema_stream.core.taxonomy import load_taxonomy
from hema_stream.core.tile import TilePlan
from hema_stream.flow import Caps, Gap, Pad, Pipeline, PipelineError, Policy, Registry, Stage, Transform, cpu

CELLS, STEPS, FREE = 180, 60, 34
NO_KEYS = np.zeros((0, 2), np.int32)
STREAMS = ("rbc", "wbc")
PACE = {"brief": 0.02, "long": 0.1}
"""Seconds a step of images that take their time."""


class Pretend(Stage):
    """Find the same cells in every image, three at a time; then give the result.

    ``slow-*`` waits in mid-course until ``go`` is set (past what the runtime takes of a lazy hook at once), ``bad-*``
    is refused, ``broken-*`` fails, ``fatal-*`` takes the pipeline along, ``brief-*`` takes a second and ``long-*`` six.
    """

    sinks = {"sink": Pad(Caps("image/input"))}
    sources = {"deltas": Pad(Caps("slide/delta"), request=True), "report": Pad(Caps("slide/result"), request=True)}
    runs_on = cpu(threads=4)
    on_error = Policy.FAIL_SLIDE

    def __init__(self, name: str = "", **properties: Any) -> None:
        super().__init__(name, **properties)
        self.go = threading.Event()
        self.begun: list[str] = []
        self.partial: dict[str, TallyResult] = {}

    def negotiate(self, caps: Caps) -> tuple[None, dict[str, Any]]:  # type: ignore[override]
        return None, {}

    def process(self, item: InputImage, state: dict[str, Any], pad: str = "sink") -> Iterator[Any]:
        self.begun.append(item.path.name)
        if item.path.name.startswith("bad-"):
            raise InputError("no picture", place=item.path.name, remedy="export it again", code=InputCode.UNREADABLE)
        if item.path.name.startswith("broken-"):
            raise ValueError("broken")
        if item.path.name.startswith("fatal-"):
            raise PipelineError("the whole pipeline")
        return self._found(item, state)

    def _found(self, item: InputImage, state: dict[str, Any]) -> Iterator[Any]:
        image = replace(slide(name=item.id), path=item.path)
        result = mixed(CELLS, image=image)
        plan = TilePlan(image.width, image.height, result.calibration.scale)
        yield Caps("slide/delta", slide=image, calibration=calibration(), plan=plan)
        state["result"], state["told"] = result, 0
        bounds = np.linspace(0, CELLS, STEPS + 1).astype(int).tolist()
        for seq, (first, last) in enumerate(pairwise(bounds), 1):
            time.sleep(PACE.get(item.path.name.partition("-")[0], 0.0))
            yield "deltas", _delta(item.id, seq, result, slice(first, last))
            state["told"] = last
            if seq == FREE and item.path.name.startswith("slow-"):
                self.go.wait(20)
        yield "report", result

    def cancelled(self, state: dict[str, Any]) -> Iterator[Any]:
        if state.get("told"):
            yield "report", _part(state["result"], state["told"])


class PretendSurvey(Transform[Field, InputImage]):
    """Let each field go at once, or, of slides called ``held-*``, when ``go`` is set; with the last comes the image."""

    accepts = Caps("image/field")
    produces = Caps("image/input")
    runs_on = cpu(threads=1)

    def __init__(self, name: str = "", **properties: Any) -> None:
        super().__init__(name, **properties)
        self.taken: Callable[[str, int, str], None] = lambda slide, index, verdict: None
        self.go = threading.Event()
        self.hold = False
        self.fields: dict[str, list[int]] = {}
        self.passed: dict[str, list[FieldsPassed]] = {}

    def negotiate(self, caps: Caps) -> tuple[Caps, str]:
        self.fields[caps.slide_id], self.passed[caps.slide_id] = [], []
        return Caps("image/input"), caps.slide_id

    def process(self, item: Field, state: str) -> None:  # type: ignore[override]
        if self.hold:
            self.go.wait(20)
        if item.data == b"broken":
            raise ValueError("broken")
        self.fields[state].append(item.index)
        self.taken(state, item.index, "unreadable" if item.data == b"unreadable" else "analysed")

    def gap(self, gap: Gap, state: str) -> None:
        assert isinstance(gap, FieldsPassed)
        self.passed[state].append(gap)

    def finish(self, state: str) -> InputImage:
        return InputImage(state, Path("scan"))


def _delta(name: str, seq: int, result: TallyResult, rows: slice) -> SlideDelta:
    chosen = np.arange(rows.start, rows.stop)
    cells = result.cells.take(chosen)
    labels = tuple(_labels(result, chosen, kind, stream) for kind, stream in enumerate(STREAMS))
    counts, last = {"cells": rows.stop}, rows.stop == CELLS
    ended = {0: "analysed"} if last else {}
    progress = dict(result.tiles) if last else dict.fromkeys(result.tiles, 0)
    return SlideDelta(name, seq, cells, NO_KEYS, labels, counts, {**progress, "planned": 1}, ended)


def _labels(result: TallyResult, chosen: Any, kind: int, stream: str) -> Labels:
    rows = chosen[(result.cells.kind[chosen] == kind) & (result.best[chosen] >= 0)]
    probabilities = np.zeros((len(rows), len(load_taxonomy(stream).names)), np.float32)
    probabilities[np.arange(len(rows)), result.best[rows]] = result.confidence[rows]
    keys = result.cells.keys[rows]
    return Labels(stream, keys, probabilities, result.best[rows], result.unknown[rows])


def _part(result: TallyResult, told: int) -> TallyResult:
    rows = np.arange(told)
    columns = {name: getattr(result, name)[rows] for name in ("best", "confidence", "unknown", "lost")}
    tiles = {**dict.fromkeys(result.tiles, 0), "cancelled": 1}
    cells: CellTable = result.cells.take(rows)
    return replace(result, cells=cells, tiles=tiles, status="partial", counts={"cells": told}, **columns)


def build(name: str, profile: str, settings: Any, defaults: Any) -> Pipeline:
    """Stands in for ``build_pipeline``: the service's own stages around ``Pretend``."""
    pipeline, registry = Pipeline(), Registry()
    pipeline.add(registry.load("intake")(name="intake"))
    pipeline.add(registry.load("fields")(name="fields"))
    pipeline.add(PretendSurvey("survey"))
    pipeline.add(registry.load("funnel")(name="images"))
    pipeline.add(Pretend("tally"))
    pipeline.add(registry.load("hub")(name="hub"))
    pipeline.add(registry.load("report")(name="report", out=defaults["report"]["out"], overlay=False, geojson=False))
    pipeline.link("intake.src", "images")
    pipeline.link("fields.src", "survey.sink")
    pipeline.link("survey.src", "images")
    pipeline.link("images.src", "tally.sink")
    pipeline.link("tally.deltas", "hub.sink")
    pipeline.link("tally.report", "hub.result")
    pipeline.link("hub.src", "report.sink")
    return pipeline
