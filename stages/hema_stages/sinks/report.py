"""The report sink: a folder a slide, with report.json, overlay.png and cells.geojson."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hema_stages.sinks.artefact import artefacts
from hema_stages.sinks.geojson import write_geojson
from hema_stages.sinks.overlay import draw_overlay
from hema_stages.sinks.png import encode_png
from hema_stages.sinks.report_json import write_report
from hema_stages.sinks.watch import Watch
from hema_stream.core.errors import InputError
from hema_stream.core.features import FEATURES, write_features
from hema_stream.core.messages import ReportWritten
from hema_stream.core.report import Identity
from hema_stream.core.result import TallyResult
from hema_stream.flow import Caps, Policy, Sink, cpu, prop
from hema_stream.flow.bus import WarningMessage

GEOJSON, OVERLAY, REPORT = "cells.geojson", "overlay.png", "report.json"


class Report(Sink):
    """Write each slide's artefacts into ``out/<id>``; they appear together, report.json last, or not at all.

    Features are written where a classifier was told to keep them. A complete slide that was read with a site counts
    among the site's slides from then on, and is compared with those before it.

    ``identity`` is set by the program that runs the pipeline; the head of each report is posted on the bus. Artefacts
    of an earlier run are written over, or removed where they are switched off, unless ``replace`` is off.
    """

    accepts = Caps("slide/result")
    runs_on = cpu(threads=1)
    on_error = Policy.FAIL_SLIDE
    deadline = 600.0

    out: Path = prop(Path("out"), doc="folder of results")
    panel: str = prop("default", doc="panel in configs/panels")
    overlay: bool = prop(True, doc="whether overlay.png is written")
    geojson: bool = prop(True, doc="whether cells.geojson is written")
    replace: bool = prop(True, doc="whether a report that is there already is replaced")
    longest_side: int = prop(4096, doc="longest side of overlay.png", unit="px", ge=1024)
    interrupted_tiles: int = prop(
        4, doc="an interrupted slide of more tiles gets report.json alone: who pressed Ctrl-C is waiting", ge=0
    )

    def __init__(self, name: str = "", **properties: Any) -> None:
        super().__init__(name, **properties)
        self.identity = Identity(software="hema-stream", models={}, configuration="", panel=self.panel, profile="")
        self.deterministic = False

    def start(self) -> None:
        """Read the panel, so that a faulty one stops the pipeline and not the first slide."""
        from hema_stream.clinical.panel import load_panel

        self._panel = load_panel(self.panel)

    def process(self, result: TallyResult, state: Any, pad: str = "sink") -> None:
        """Write one slide's artefacts."""
        from hema_stream.clinical.compose import Composer

        composer = Composer(self._panel, self.identity, self.deterministic)
        watch = Watch.of(result, self._panel, remembers=not self.deterministic)
        hurried = result.status == "partial" and sum(result.tiles.values()) > self.interrupted_tiles
        overlay, geojson = self.overlay and not hurried, self.geojson and not hurried
        kept = None if hurried else result.features
        folder = self.out / result.slide.id
        # Drawing releases the interpreter's lock; the rest is text.
        with artefacts(folder, REPORT, self.replace) as files, ThreadPoolExecutor(1) as beside:
            drawn = beside.submit(self._draw, result) if overlay else None
            if geojson:
                with files.open(GEOJSON) as handle:
                    write_geojson(handle, result)
            if kept is not None:
                with files.open(FEATURES) as handle:
                    write_features(handle, kept)
            with files.open(REPORT) as handle:
                head = write_report(handle, composer, result, watch.alarms if watch else ())
            picture = drawn.result() if drawn else None
            if picture:
                with files.open(OVERLAY) as handle:
                    handle.write(picture)
        for name, wanted in ((GEOJSON, geojson), (OVERLAY, picture), (FEATURES, kept)):
            if not wanted:
                (folder / name).unlink(missing_ok=True)
        if watch and result.status == "complete":
            self._keep(watch, result.slide.id)
        self.post(ReportWritten(result.slide.id, head))

    def _keep(self, watch: Watch, slide: str) -> None:
        try:
            watch.keep()
        except OSError as error:
            text = f"the slide does not count among its site's: {error.strerror}"
            self.post(WarningMessage(slide, text, self.name))

    def _draw(self, result: TallyResult) -> bytes | None:
        """Draw the overlay as PNG; an image that can no longer be opened costs the overlay, not the report."""
        from hema_stages.readers import open_reader

        try:
            reader = open_reader(result.slide, "plain")
        except InputError as error:
            self.post(WarningMessage(result.slide.id, f"{OVERLAY} is not drawn: {error}", self.name))
            return None
        try:
            picture, unread = draw_overlay(result, reader, self.longest_side)
        finally:
            reader.close()
        if unread:
            text = f"{unread} blocks of the image cannot be read; they are grey in {OVERLAY}"
            self.post(WarningMessage(result.slide.id, text, self.name))
        return encode_png(picture)
