"""``hema-stream site watch``: the control charts of a site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hema_models.site.readings import History

    from hema_stream.clinical.control import Chart
    from hema_stream.clinical.panel import ControlRule

SHOWN = 10


@click.command("watch")
@click.argument("name")
@click.option("--panel", default="default", show_default=True, help="Panel in configs/panels, which states the limits.")
@click.option("--restart", is_flag=True, help="Draw limits anew, on the slides to come: after a change that is meant.")
def watch(name: str, panel: str, restart: bool) -> None:
    """Show the figures of a site's slides with their control limits, and what the last slides left."""
    from hema_models.site.readings import Readings
    from hema_models.site.store import SiteStore

    from hema_stream.clinical.control import charts
    from hema_stream.clinical.panel import load_panel

    store = SiteStore()
    store.versions(name)
    readings, rule = Readings(store.folder(name)), load_panel(panel).control
    if restart:
        aside = readings.restart()
        click.echo(f"{name}: limits are drawn anew{f'; the slides so far lie in {aside}' if aside else ''}")
        return
    history = readings.read()
    drawn = charts(history.first, rule)
    if not drawn:
        seen = len(history.first)
        click.echo(f"{name}: {seen} slides so far; limits are drawn on {rule.least}")
        return
    for line in [*_table(history, drawn), *_last(history, drawn, rule)]:
        click.echo(line)


def _table(history: History, drawn: dict[str, Chart]) -> Iterator[str]:
    yield f"limits from the first {len(history.first)} slides"
    yield f"{'':18}{'low':>10}{'centre':>10}{'high':>10}{'last':>10}"
    last = history.latest[-1].figures
    for name, chart in drawn.items():
        columns = (chart.low, chart.centre, chart.high, last.get(name))
        yield f"{name:18}" + "".join(f"{'' if value is None else f'{value:.3f}':>10}" for value in columns)


def _last(history: History, drawn: dict[str, Chart], rule: ControlRule) -> Iterator[str]:
    from hema_stream.clinical.control import left

    latest = history.latest
    for place in range(max(len(latest) - SHOWN, 0), len(latest)):
        reading = latest[place]
        names = left(reading, latest[:place], drawn, rule)
        yield f"{reading.at:%Y-%m-%d %H:%M}  {reading.slide}  {', '.join(names) or 'within limits'}"
