"""The status as a page of a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hema_stream.cli.status.fetch import Standing
from hema_stream.cli.status.words import OVER, WAITING, counted, lasting, reason, room, seconds_between, tiles

COLOURS = {
    "done": "green",
    "running": "cyan",
    "queued": "blue",
    "uploading": "blue",
    "rejected": "yellow",
    "failed": "red",
    "cancelled": "bright_black",
    "watching": "green",
    "waiting": "yellow",
    "unreachable": "red",
}
BAR, DISK_BAR = 24, 40


def page(standing: Standing, stale: str = "") -> RenderableType:
    """The whole page.

    Args:
        stale: why the figures are old; empty where they are not.
    """
    status = standing.status
    parts = [_head(standing, stale), _running(status), _folders(status), _disk(status["disk"]), _ended(standing)]
    return Group(*(part for part in parts if part is not None))


def _head(standing: Standing, stale: str) -> RenderableType:
    status = standing.status
    title = Text.assemble(("hema-stream ", "bold"), (status["version"], "dim"), "  ", (standing.url, "dim"))
    if stale:
        title.append(f"  {stale}", "bold red")
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
        count = status["jobs"].get(name, 0)
        jobs.append(f"{count:,} ", "bold" if count else "dim").append(f"{name}   ", COLOURS[name] if count else "dim")
    clients = status["clients"]
    head.add_row(jobs, Text(f"{clients:,} {'browser follows' if clients == 1 else 'browsers follow'} live"))
    return Panel(head, border_style="red" if stale else "bright_black")


def _running(status: Mapping[str, Any]) -> RenderableType:
    if not status["running"]:
        return _panel("Under way", Text("nothing", "dim"))
    table = _table("slide", "", "tiles", "cells", "red", "white", "platelets", "for", "left")
    for slide in status["running"]:
        ended, planned = tiles(slide)
        counts = slide["counts"]
        lasted = seconds_between(slide["started"], status["now"])
        left = lasted * (planned - ended) / ended if lasted and ended else None
        table.add_row(
            Text(slide["name"], "bold", overflow="ellipsis"),
            ProgressBar(total=planned or 1, completed=ended, width=BAR),
            f"{ended:,}/{planned:,}" if planned else "opening",
            *(f"{counts.get(name, 0):,}" for name in ("cells", "rbc", "wbc", "platelet")),
            lasting(lasted or 0),
            f"~{lasting(left)}" if left else "",
        )
    return _panel("Under way", table)


def _folders(status: Mapping[str, Any]) -> RenderableType | None:
    if not status["folders"]:
        return None
    table = _table("folder", "state", "claimed", "done", "failed", texts=2)
    for folder in status["folders"]:
        state = Text(folder["state"], COLOURS.get(folder["state"], ""))
        if folder["why"]:
            state.append(f": {folder['why']}", "dim")
        failed = Text(f"{folder['failed']:,}", "yellow" if folder["failed"] else "")
        table.add_row(Text(folder["path"]), state, f"{folder['claimed']:,}", f"{folder['done']:,}", failed)
    return _panel("Watched folders", table)


def _disk(disk: Mapping[str, Any]) -> RenderableType:
    used, total = disk["total"] - disk["free"], disk["total"] or 1
    colour = "red" if disk["low"] else "green"
    line = Table.grid(padding=(0, 2))
    told = Text.assemble((f"{room(disk['free'])} free", f"bold {colour}"), f" of {room(disk['total'])}")
    if disk["low"]:
        told.append(f"   nothing new is begun until {room(disk['enough'])} are free", "red")
    else:
        told.append(f"   nothing new is begun under {room(disk['below'])}", "dim")
    line.add_row(ProgressBar(total=total, completed=used, width=DISK_BAR, complete_style=colour), told)
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
