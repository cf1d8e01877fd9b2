"""The report sink: a folder a slide, with report.json, overlay.png and cells.geojson."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hema_stages.sinks.geojson import write_geojson
from hema_stages.sinks.overlay import write_overlay
from hema_stages.sinks.report_json import write_report
from hema_stream.core.report import Identity
from hema_stream.core.result import TallyResult
from hema_stream.flow import Caps, Policy, Sink, cpu, prop
from hema_stream.flow.bus import Progress


class Report(Sink):
    """Write each slide's artefacts into ``out/<id>``, each by temporary name, sync and rename.

    ``identity`` is set by the program that runs the pipeline; the head of each report is posted on the bus.
    """

    accepts = Caps("slide/result")
    runs_on = cpu(threads=1)
    on_error = Policy.FAIL_SLIDE
    deadline = 600.0

    out: Path = prop(Path("out"), doc="folder of results")
    panel: str = prop("default", doc="panel in configs/panels")
    overlay: bool = prop(True, doc="whether overlay.png is written")
    geojson: bool = prop(True, doc="whether cells.geojson is written")
    longest_side: int = prop(4096, doc="longest side of overlay.png", unit="px", ge=256)

    def __init__(self, name: str = "", **properties: Any) -> None:
        super().__init__(name, **properties)
        self.identity = Identity(software="hema-stream", models={}, configuration="", panel=self.panel, profile="")
        self.deterministic = False

    def process(self, result: TallyResult, state: Any, pad: str = "sink") -> None:
        """Write one slide's artefacts; the report last, so that its presence says that all is there."""
        from hema_stream.clinical.compose import Composer
        from hema_stream.clinical.panel import load_panel

        folder = self.out / result.slide.id
        folder.mkdir(parents=True, exist_ok=True)
        composer = Composer(load_panel(self.panel), self.identity, self.deterministic)
        with ThreadPoolExecutor(1) as beside:  # drawing releases the GIL, the rest is text
            drawn = beside.submit(self._draw, folder, result) if self.overlay else None
            if self.geojson:
                write_geojson(folder / "cells.geojson", result)
            wait = drawn.result if drawn else _nothing
            head = write_report(folder / "report.json", composer, result, wait)
        self.post(Progress(result.slide.id, self.name, head))

    def _draw(self, folder: Path, result: TallyResult) -> None:
        from hema_stages.readers import open_reader

        reader = open_reader(result.slide, "plain")
        try:
            write_overlay(folder / "overlay.png", result, reader, self.longest_side)
        finally:
            reader.close()


def _nothing() -> None:
    """Nothing to wait for."""
