"""What is said beside the figures, in the panel's words: what classes do elsewhere, what answers are calibrated to."""

from __future__ import annotations

from collections.abc import Sequence

from hema_stream.clinical.panel import Panel, Telling
from hema_stream.core.naming import Naming
from hema_stream.core.rates import ClassRates, Rate
from hema_stream.core.report import Elsewhere, SiteAlarm, SiteReport
from hema_stream.core.site_use import SiteUse

CELLS = {"rbc": "red cells", "wbc": "white cells"}
PROVEN = 2
"""Laboratories that a class must have been found in before it counts as proven."""


def elsewhere(panel: Panel, stream: str, naming: Naming) -> dict[str, Elsewhere]:
    """Tell of every class that a network can name, in the taxonomy's order, what it is known to do elsewhere."""
    own, rates = naming.own_classes(stream), naming.rates_of(stream)
    return {
        name: _unmeasured(panel.telling.own) if name in own else _class(panel.telling, rates.get(name))
        for name in naming.taxonomy(stream).learnt
    }


def ungraded(panel: Panel, stream: str, unknown: int, asked: int) -> str:
    """Say what stands in the place of percentages."""
    return panel.telling.ungraded.format(percent=round(100 * unknown / asked), cells=CELLS[stream])


def unknown_rule(panel: Panel, stream: str, naming: Naming) -> str:
    """Say when a cell is unknown, from the thresholds of the classes that a network can name."""
    taxonomy = naming.taxonomy(stream)
    limits = sorted({round(100 * c.threshold) for c in taxonomy.classes if not c.measured})
    telling = panel.telling
    return (telling.one_rule if len(limits) == 1 else telling.rules).format(least=limits[0], most=limits[-1])


def site_report(site: SiteUse | None, alarms: Sequence[SiteAlarm] = ()) -> SiteReport | None:
    """The report's part on a site; alarms are known at a slide's end."""
    if site is None:
        return None
    return SiteReport(name=site.name, version=site.version, identity=site.identity, alarms=list(alarms))


def calibration_note(panel: Panel, site: SiteUse | None, alarms: Sequence[SiteAlarm] = ()) -> str:
    """Say what the answers are calibrated to, what to expect where it is nothing, and why not to rely on it."""
    note = _calibrated_to(panel, site)
    if not alarms:
        return note
    return panel.telling.changed.format(note=note, alarms="; ".join(alarm.text for alarm in alarms))


def _calibrated_to(panel: Panel, site: SiteUse | None) -> str:
    telling = panel.telling
    if site is None:
        return telling.uncalibrated.format(expect=telling.expect)
    streams = ", ".join(CELLS[stream] for stream in site.calibrated)
    text = telling.calibrated if streams else telling.not_yet
    return text.format(name=site.name, version=site.version, streams=streams, expect=telling.expect)


def _class(telling: Telling, rates: ClassRates | None) -> Elsewhere:
    if rates is None:
        return _unmeasured(telling.unmeasured)
    return Elsewhere(
        false_positive=_pair(rates.false_positive),
        recall=None if rates.recall is None else _pair(rates.recall),
        laboratories=rates.laboratories,
        text="; ".join(_sayings(telling, rates)),
    )


def _sayings(telling: Telling, rates: ClassRates) -> list[str]:
    recall, false, many = rates.recall, rates.false_positive, rates.laboratories
    laboratories = "a laboratory" if many == 1 else f"{many} laboratories"
    found = telling.not_found
    if recall is not None and recall.of:
        found = telling.found.format(recall=round(100 * recall.share), laboratories=laboratories)
    said = [found, telling.called.format(rate=_per_thousand(false))] if false.of else [found]
    said += [] if many >= PROVEN else [telling.one_laboratory]
    return [*said, rates.note] if rates.note else said


def _per_thousand(rate: Rate) -> str:
    """Two digits of a rare error, whole numbers of a frequent one."""
    many = 1000 * rate.share
    return f"{many:.2g}" if many < 10 else f"{many:,.0f}"


def _unmeasured(text: str) -> Elsewhere:
    return Elsewhere(false_positive=None, recall=None, laboratories=0, text=text)


def _pair(rate: Rate) -> tuple[int, int]:
    return rate.k, rate.of
