"""Control charts of a site: is a slide like those that the site began with, and if not, what has changed.

Each figure has a chart of its own: single values with limits on both sides of the median of the first slides (Shewhart
1931, in laboratories Levey and Jennings 1950), and an exponentially weighted moving average, which a slow drift leaves
first (Roberts 1959). Spread is taken from the middle 80% of the first slides, so that one odd one among them draws no
wide limits, and is at least what the panel states. A value beyond the limits counts as one at the limit in the average,
so that one odd slide raises no alarm on those after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hema_stream.clinical.panel import ControlRule, FigureRule, Panel
from hema_stream.core.cells import Kind
from hema_stream.core.reading import Reading
from hema_stream.core.report import SiteAlarm
from hema_stream.core.result import TallyResult
from hema_stream.core.site_use import SiteUse

TENTHS = 2 * 1.2816
"""Width of the middle 80% of a normal distribution, in standard deviations."""
CHANNELS = ("red", "green", "blue")
LEAST_ASKED = 50
"""Cells of a stream under which its share of unknown tells nothing."""
KINDS = {"rbc": Kind.RBC, "wbc": Kind.WBC}


@dataclass(frozen=True)
class Chart:
    """Limits of one figure.

    Attributes:
        centre: median of the first slides; spread: of single values, robust.
        low, high: of a single value; None where there is none on this side.
        drift_low, drift_high: of the moving average, likewise.
    """

    centre: float
    spread: float
    low: float | None
    high: float
    drift_low: float | None
    drift_high: float

    def left_by(self, value: float) -> bool:
        """Whether a single value lies outside."""
        return value > self.high or (self.low is not None and value < self.low)

    def average(self, values: Sequence[float], weight: float) -> float:
        """The moving average of values, oldest first, each drawn to within the limits."""
        average = self.centre
        for value in np.clip(values, self.low, self.high).tolist():
            average += weight * (value - average)
        return float(average)

    def drifted_by(self, average: float) -> bool:
        """Whether a moving average lies outside."""
        return average > self.drift_high or (self.drift_low is not None and average < self.drift_low)


def reading_of(result: TallyResult) -> Reading:
    """Take a slide's figures.

    ``ground_*`` are grey levels of bare ground, ``red_cell_*`` decadic optical densities of the median red cell over
    it, ``focus`` the natural logarithm of the median variance of the Laplacian, ``scale`` of microns a pixel,
    ``unknown_*`` the share of unknown cells, ``distance_*`` how far cells lie from the site's.
    """
    calibration = result.calibration
    figures = {f"ground_{name}": float(v) for name, v in zip(CHANNELS, calibration.background, strict=True)}
    if calibration.red_cell is not None:
        figures |= {f"red_cell_{name}": float(v) for name, v in zip(CHANNELS, calibration.red_cell, strict=True)}
    figures["focus"] = float(np.log(max(calibration.focus, 1e-3)))
    if calibration.scale.source.measured:
        figures["scale"] = float(np.log(calibration.scale.mpp))
    asked = result.single & ~result.ungraded & (result.best >= 0)
    for stream, kind in KINDS.items():
        cells = asked & (result.cells.kind == kind)
        if cells.sum() >= LEAST_ASKED:
            figures[f"unknown_{stream}"] = float(result.unknown[cells].mean())
    for stream, use in ({} if result.site is None else result.site.streams).items():
        if use.distance is not None:
            figures[f"distance_{stream}"] = use.distance
    finite = {name: round(value, 5) for name, value in figures.items() if np.isfinite(value)}
    return Reading(result.slide.id, result.finished, dict(result.models), finite)


def charts(first: Sequence[Reading], rule: ControlRule) -> dict[str, Chart]:
    """Draw the limits of every figure that enough of a site's first slides have; empty before."""
    return {
        name: _chart(values, figure, rule)
        for name, figure in rule.figures.items()
        if len(values := [r.figures[name] for r in first if name in r.figures]) >= rule.least
    }


def left(reading: Reading, earlier: Sequence[Reading], drawn: Mapping[str, Chart], rule: ControlRule) -> list[str]:
    """Name the figures that left their limits with this slide, in the rule's order.

    Args:
        earlier: the slides before it, oldest first.
    """
    found = []
    for name, chart in drawn.items():
        if (value := reading.figures.get(name)) is None:
            continue
        before = [r.figures[name] for r in earlier if name in r.figures]
        if chart.left_by(value) or chart.drifted_by(chart.average([*before, value], rule.weight)):
            found.append(name)
    return found


def alarms(
    panel: Panel, reading: Reading, site: SiteUse, first: Sequence[Reading], earlier: Sequence[Reading]
) -> list[SiteAlarm]:
    """Say what has changed: what an alarm of each cause means is the panel's.

    Args:
        first: the slides that the site began with, limits are drawn on them; earlier: the latest, oldest first.
    """
    rule = panel.control
    causes = list(dict.fromkeys(rule.figures[name].cause for name in left(reading, earlier, charts(first, rule), rule)))
    if earlier and any(reading.networks.get(stage, seen) != seen for stage, seen in earlier[-1].networks.items()):
        causes.append("network")
    if site.elsewhere:
        causes.append("elsewhere")
    return [SiteAlarm(code=cause, text=rule.causes[cause].format(name=site.name)) for cause in causes]


def _chart(values: Sequence[float], figure: FigureRule, rule: ControlRule) -> Chart:
    centre = float(np.median(values))
    inner = float(np.subtract(*np.percentile(values, (90, 10)))) / TENTHS
    spread = max(inner, figure.least_spread)
    reach = rule.width * spread
    drift = reach * np.sqrt(rule.weight / (2 - rule.weight))
    low, slow = (None, None) if figure.above_only else (centre - reach, centre - drift)
    return Chart(centre, spread, low, centre + reach, slow, centre + drift)
