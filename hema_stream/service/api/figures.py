"""What the counts of the moment come to: shares with their limits and flags, by the report's own rules."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from hema_stream.clinical.differential import differential
from hema_stream.clinical.flags import Flags
from hema_stream.clinical.interval import share
from hema_stream.clinical.panel import Panel, load_panel
from hema_stream.core.taxonomy import load_taxonomy
from hema_stream.service.api.models import Figures, RedFigures, WhiteFigures
from hema_stream.service.api.routing import Call, Endpoint, answer
from hema_stream.service.api.slides import find, shown
from hema_stream.service.parts import SETTINGS

STAGE, DEFAULT = "report.panel=", "default"


async def figures(call: Call) -> web.Response:
    """Differential and morphology of the cells that are named so far; sizes are in the report alone."""
    slide = shown(call.request.app, await find(call))
    return answer(of_counts(slide.counts, load_panel(_panel(call.request.app))))


def of_counts(counts: Mapping[str, int], panel: Panel) -> Figures:
    """Work out figures from counts as the live protocol has them."""
    return Figures(cells=counts.get("cells", 0), red=_red(counts, panel), white=_white(counts, panel))


def _red(counts: Mapping[str, int], panel: Panel) -> RedFigures:
    named = _named(counts, "rbc")
    classified = sum(named.values())
    odd = sum(named.get(c.name, 0) for c in load_taxonomy("rbc").classes if c.abnormal)
    return RedFigures(
        total=counts.get("rbc", 0),
        classified=classified,
        unknown=counts.get("rbc/unknown", 0),
        wanted=panel.morphology.wanted,
        distribution={name: share(count, classified) for name, count in named.items()},
        abnormal=share(odd, classified),
        flags=Flags(panel).red(named, classified, None, 0),
    )


def _white(counts: Mapping[str, int], panel: Panel) -> WhiteFigures:
    unknown = counts.get("wbc/unknown", 0)
    made = differential(_named(counts, "wbc"), counts.get("wbc", 0), unknown, panel)
    return WhiteFigures(
        total=made.total,
        classified=made.classified,
        beside=made.beside,
        unknown=unknown,
        wanted=panel.differential.wanted,
        percentages=made.percentages,
        neutrophils_total=made.neutrophils_total,
        immature_granulocytes=made.immature_granulocytes,
        per_100_wbc=made.per_100_wbc,
        flags=made.flags,
    )


def _named(counts: Mapping[str, int], stream: str) -> dict[str, int]:
    """Counts by class in the taxonomy's order, without unknown ones."""
    return {name: n for name in load_taxonomy(stream).names if (n := counts.get(f"{stream}/{name}", 0))}


def _panel(app: web.Application) -> str:
    """The panel that the reports are written by."""
    told = [setting.removeprefix(STAGE) for setting in app[SETTINGS].settings if setting.startswith(STAGE)]
    return told[-1] if told else DEFAULT


ENDPOINTS = (
    Endpoint("GET", "/slides/{slide}/figures", figures, "Differential and morphology so far", answers={200: Figures}),
)
