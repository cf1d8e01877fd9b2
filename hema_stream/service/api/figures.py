"""What the counts of the moment come to: shares with their limits and flags, by the report's own functions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from hema_stream.clinical.differential import differential
from hema_stream.clinical.morphology import morphology
from hema_stream.clinical.panel import Panel, load_panel
from hema_stream.clinical.telling import calibration_note, site_report
from hema_stream.core.naming import Naming
from hema_stream.core.report import RbcAnalysis, ReportHead, WbcDifferential
from hema_stream.service.api.models import Figures, RedFigures, WhiteFigures
from hema_stream.service.api.routing import Call, Endpoint, answer
from hema_stream.service.api.slides import find, shown
from hema_stream.service.artefacts import report_head
from hema_stream.service.parts import HUB, SETTINGS

STAGE, DEFAULT = "report.panel=", "default"


async def figures(call: Call) -> web.Response:
    """Differential and morphology: of a slide with a report what that says, else of the cells that are named so far."""
    app, job = call.request.app, await find(call)
    panel = load_panel(_panel(app))
    head = await asyncio.to_thread(report_head, app[SETTINGS].results / job.id) if job.sha256 else None
    if head is not None:
        return answer(of_report(head, panel))
    return answer(of_counts(shown(app, job).counts, panel, app[HUB].naming(job.id)))


def of_counts(counts: Mapping[str, int], panel: Panel, naming: Naming | None = None) -> Figures:
    """Work out figures from counts as the live protocol has them, and from what names the cells."""
    naming = naming or Naming()
    red, white = _named(counts, "rbc", naming), _named(counts, "wbc", naming)
    return Figures(
        cells=counts.get("cells", 0),
        red=_red(
            morphology(
                red,
                counts.get("rbc", 0),
                counts.get("rbc/unknown", 0),
                0,
                None,
                panel,
                cut=counts.get("rbc/cut", 0),
                naming=naming,
            ),
            panel,
        ),
        white=_white(
            differential(white, counts.get("wbc", 0), counts.get("wbc/unknown", 0), panel, naming=naming), panel
        ),
        site=site_report(naming.site),
        calibration_note=calibration_note(panel, naming.site),
    )


def of_report(head: ReportHead, panel: Panel) -> Figures:
    """Take figures from a report; the panel says how many cells are wanted."""
    return Figures(
        cells=head.summary.total_cells,
        red=_red(head.rbc_analysis, panel),
        white=_white(head.wbc_differential, panel),
        site=head.site,
        calibration_note=head.calibration_note,
    )


def _red(made: RbcAnalysis, panel: Panel) -> RedFigures:
    shared = set(RedFigures.model_fields) & set(RbcAnalysis.model_fields)
    return RedFigures(wanted=panel.morphology.wanted, **{name: getattr(made, name) for name in shared})


def _white(made: WbcDifferential, panel: Panel) -> WhiteFigures:
    shared = set(WhiteFigures.model_fields) & set(WbcDifferential.model_fields)
    return WhiteFigures(wanted=panel.differential.wanted, **{name: getattr(made, name) for name in shared})


def _named(counts: Mapping[str, int], stream: str, naming: Naming) -> dict[str, int]:
    """Counts by class in the taxonomy's order, without unknown ones."""
    return {name: n for name in naming.taxonomy(stream).names if (n := counts.get(f"{stream}/{name}", 0))}


def _panel(app: web.Application) -> str:
    """The panel that the reports are written by."""
    told = [setting.removeprefix(STAGE) for setting in app[SETTINGS].settings if setting.startswith(STAGE)]
    return told[-1] if told else DEFAULT


ENDPOINTS = (
    Endpoint("GET", "/slides/{slide}/figures", figures, "Differential and morphology so far", answers={200: Figures}),
)
