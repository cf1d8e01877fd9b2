"""The status as a page of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hema_stream.cli.lines import differential
from hema_stream.cli.status.fetch import Standing
from hema_stream.cli.status.words import (
    OVER,
    WAITING,
    counted,
    lasting,
    reason,
    room,
    seconds_between,
    tiles,
    white_cells,
)

COLOURS = {
    "done": "green",
    "running": "cyan",
    "queued": "blue",
    "uploading": "blue",
    "rejected": "yellow",
    "failed": "red",
    "cancelled": "bright_black",
    "watching": "green",
    "starting": "yellow",
    "waiting": "yellow",
    "unreachable": "red",
}
BAR, DISK_BAR = 24, 40


WIDE = 110
"""Columns from which there is room for everything."""


class Page:
    """The whole page, as wide as the terminal.

    Args:
        stale: why the figures are old; empty where they are not.
    """

    def __init__(self, standing: Standing, stale: str = "") -> None:
        self._standing, self._stale = standing, stale

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it; a narrow terminal gets fewer columns."""
        standing, wide = self._standing, options.max_width >= WIDE
        yield _head(standing, self._stale)
        yield _running(standing.status, wide)
        if standing.status["folders"]:
            yield _folders(standing.status)
        yield _disk(standing.status["disk"], wide)
        yield _ended(standing)


def _head(standing: Standing, stale: str) -> RenderableType:
    status = standing.status
    title = Text.assemble(("hema-stream ", "bold"), (status["version"], "dim"), "  ", (standing.url, "dim"))
    if stale:
        title.append("  ● stale", "bold red")
    elif status["ready"]:
        title.append("  ● ready", "bold green")
    else:
        title.append("  ● not ready", "bold red")
    head = Table.grid(expand=True)
    head.add_column()
    head.add_column(justify="right")
    head.add_row(title, Text(f"up {lasting(status['uptime'])}"))
    jobs = Text()
    for name in (*WAITING, *OVER):
        if count := status["jobs"].get(name, 0):
            jobs.append(f"{count:,} ", "bold").append(f"{name}   ", COLOURS[name])
    jobs = jobs or Text("no slides yet", "dim")
    clients = status["clients"]
    head.add_row(jobs, Text(f"{clients:,} {'browser follows' if clients == 1 else 'browsers follow'} live"))
    silent = [Text(stale, "bold red")] if stale else []
    return Panel(Group(head, *silent), border_style="red" if stale else "bright_black")


def _running(status: Mapping[str, Any], wide: bool) -> RenderableType:
    if not status["running"]:
        return _panel("Under way", Text("nothing", "dim"))
    kinds = {"cells": "cells", "red": "rbc", "white": "wbc", "platelets": "platelet"}
    shown = kinds if wide else {"cells": "cells"}
    table = _table("slide", *([""] if wide else []), "tiles", *shown, "for", "left")
    for slide in status["running"]:
        ended, planned = tiles(slide)
        counts = slide["counts"]
        lasted = seconds_between(slide["started"], status["now"])
        left = lasted * (planned - ended) / ended if lasted and ended else None
        over = bool(planned) and ended == planned
        table.add_row(
            Text(slide["name"], "bold", overflow="ellipsis"),
            *([ProgressBar(planned or 1, ended, width=BAR, complete_style="cyan")] if wide else []),
            f"{ended:,}/{planned:,}" if planned else "opening",
            *(f"{counts.get(name, 0):,}" for name in shown.values()),
            lasting(lasted or 0),
            "writing" if over else f"~{lasting(left)}" if left else "",
        )
    return _panel("Under way", Group(table, *_differentials(status["running"])))


def _differentials(slides: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    """A line for each slide that has white cells."""
    for slide in slides:
        if white := differential(white_cells(slide)):
            yield Text.assemble(
                (f"{slide['name']}  ", "dim"), f"white cells {white}", overflow="ellipsis", no_wrap=True
            )


def _folders(status: Mapping[str, Any]) -> RenderableType:
    table = _table("folder", "state", "claimed", "done", "failed", texts=2)
    for folder in status["folders"]:
        state = Text(folder["state"], COLOURS.get(folder["state"], ""))
        if folder["why"]:
            state.append(f": {folder['why']}", "dim")
        failed = Text(f"{folder['failed']:,}", "yellow" if folder["failed"] else "")
        table.add_row(Text(folder["path"]), state, f"{folder['claimed']:,}", f"{folder['done']:,}", failed)
    return _panel("Watched folders", table)


def _disk(disk: Mapping[str, Any], wide: bool) -> RenderableType:
    used, total = disk["total"] - disk["free"], disk["total"] or 1
    colour = "red" if disk["low"] else "green"
    line = Table.grid(padding=(0, 2))
    told = Text.assemble((f"{room(disk['free'])} free", f"bold {colour}"), f" of {room(disk['total'])}")
    if disk["low"]:
        told.append(f"   nothing new is begun until {room(disk['enough'])} are free", "red")
    else:
        told.append(f"   nothing new is begun under {room(disk['below'])}", "dim")
    line.add_row(
        *([ProgressBar(total=total, completed=used, width=DISK_BAR, complete_style=colour)] if wide else []), told
    )
    return _panel("Disk", line)


def _ended(standing: Standing) -> RenderableType:
    if not standing.ended:
        return _panel("Ended", Text("nothing yet", "dim"))
    table = _table("slide", "", "what was found", "took", texts=3)
    for slide in standing.ended:
        took = seconds_between(slide["started"], slide["finished"])
        table.add_row(
            Text(slide["name"], overflow="ellipsis"),
            Text(slide["status"], COLOURS[slide["status"]]),
            Text(reason(slide) or counted(slide), "" if slide["status"] == "done" else "dim"),
            lasting(took) if took is not None else "",
        )
    return _panel("Ended", table)


def _table(*names: str, texts: int = 1) -> Table:
    """A table whose first columns are texts and the others figures."""
    table = Table(box=None, expand=True, header_style="dim", padding=(0, 2, 0, 0))
    for number, name in enumerate(names):
        left = number < texts or not name
        table.add_column(name, justify="left" if left else "right", no_wrap=True, ratio=1 if number == 0 else None)
    return table


def _panel(title: str, inside: RenderableType) -> Panel:
    return Panel(inside, title=title, title_align="left", border_style="bright_black")
