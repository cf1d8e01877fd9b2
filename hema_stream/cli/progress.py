"""What is shown while images are analysed: live bars on a terminal, plain lines elsewhere, JSON for scripts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hema_stream.cli.lines import closing_line, outcome_line, standing_line

if TYPE_CHECKING:
    from hema_stream.core.report import ReportHead
    from hema_stream.service.analysis import Finished, Standing

REFUSED = ("rejected", "failed")
EVERY_S = 10.0
"""Seconds between two plain lines of a slide under way."""
NAME = 24
"""Letters of a slide's name beside its bar."""


class Display(Protocol):
    """An observer of an analysis that has a last word."""

    def progressed(self, slide: str, standing: Standing) -> None:
        """Show where a slide under way stands."""

    def finished(self, outcome: Finished) -> None:
        """Show how one image ended."""

    def close(self, interrupted: bool) -> None:
        """Show how all of them ended."""


@contextmanager
def open_display(images: int, as_json: bool, out: Path) -> Iterator[Display]:
    """Choose what suits the terminal, and clear it at the end."""
    if as_json:
        yield JsonLines()
    elif Console().is_terminal:
        with LiveBars(images, out) as live:
            yield live
    else:
        yield PlainLines(images, out)


def say(line: str, err: bool = False) -> None:
    """Print a line. A reader of the output that has gone away (``| head``) stops the printing, not the analysis."""
    try:
        click.echo(line, err=err)
    except BrokenPipeError:
        stream = sys.stderr if err else sys.stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class JsonLines:
    """One line of JSON an input, on standard output."""

    def progressed(self, slide: str, standing: Standing) -> None:
        """Say nothing on the way."""

    def finished(self, outcome: Finished) -> None:
        """Print the summary, or what went wrong."""
        line: dict[str, Any] = {
            "id": outcome.image.id or None,
            "path": str(outcome.image.path),
            "status": outcome.status,
        }
        if outcome.head is not None:
            line |= {
                "report": outcome.head.status,
                "summary": outcome.head.summary.model_dump(mode="json"),
                "warnings": outcome.head.quality_metrics.warnings,
                **_asked_for(outcome.head),
            }
        if outcome.error is not None:
            code = getattr(outcome.error, "code", type(outcome.error).__name__)
            line |= {"code": str(code), "error": str(outcome.error)}
        say(json.dumps(line))

    def close(self, interrupted: bool) -> None:
        """Say nothing more."""


def _asked_for(head: ReportHead) -> dict[str, Any]:
    """Codes of flags and candidates, and the site."""
    parts = (head.rbc_analysis, head.wbc_differential)
    flags = [flag.code for part in (*parts, head.quality_metrics) for flag in part.flags]
    candidates = [flag.code for part in parts for flag in part.candidates]
    site = None if head.site is None else head.site.model_dump()
    return {"flags": flags, "candidates": candidates, "site": site}


class PlainLines:
    """A line an image, for logs and pipes, and one now and then for a slide that takes long."""

    def __init__(self, images: int, out: Path, every_s: float = EVERY_S) -> None:
        self._images, self._out, self._every_s = images, out, every_s
        self._outcomes: list[Finished] = []
        self._said: dict[str, float] = {}

    def progressed(self, slide: str, standing: Standing) -> None:
        """Print a line where the last one of this slide is some time ago."""
        now = monotonic()
        if now - self._said.setdefault(slide, now) >= self._every_s:
            self._said[slide] = now
            say(f"{slide}: {standing_line(standing)}")

    def finished(self, outcome: Finished) -> None:
        """Print a line; what was never opened is only counted."""
        self._outcomes.append(outcome)
        self._said.pop(outcome.image.id, None)
        if outcome.status in REFUSED:
            say(outcome_line(outcome, self._out), err=True)
        elif outcome.head is not None or outcome.status != "cancelled":
            say(f"[{len(self._outcomes)}/{self._images}] {outcome_line(outcome, self._out)}")

    def close(self, interrupted: bool) -> None:
        """Print how all of them ended."""
        say(closing_line(self._outcomes, self._out, interrupted))


class LiveBars:
    """A bar for all images, and one for each that is open: tiles, cells, the differential so far, time left."""

    def __init__(self, images: int, out: Path, console: Console | None = None) -> None:
        self._out = out
        self._console = console or Console()
        self._bars = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[said]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self._console,
            transient=True,
        )
        self._images = images
        self._outcomes: list[Finished] = []
        self._all = self._bars.add_task("images", total=images, said="")
        self._open: dict[str, tuple[TaskID, float]] = {}
        self._loading = True
        self._move()

    def __enter__(self) -> LiveBars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def progressed(self, slide: str, standing: Standing) -> None:
        """Move a slide's bar, and with it that of all images."""
        self._loading = False
        known = self._open.get(slide)
        task = known[0] if known else self._bars.add_task(shortened(slide), total=standing.planned, said="")
        self._open[slide] = (task, standing.ended / max(standing.planned, 1))
        self._bars.update(task, completed=standing.ended, said=standing_line(standing))
        self._move()

    def finished(self, outcome: Finished) -> None:
        """Close a slide's bar and leave its line."""
        self._outcomes.append(outcome)
        task, _ = self._open.pop(outcome.image.id, (None, 0.0))
        if task is not None:
            self._bars.remove_task(task)
        self._move()
        if outcome.head is not None or outcome.status != "cancelled":
            self._print(outcome_line(outcome, self._out), "red" if outcome.status in REFUSED else "")

    def close(self, interrupted: bool) -> None:
        """Leave a line on how all of them ended."""
        self._print(closing_line(self._outcomes, self._out, interrupted), "yellow" if interrupted else "bold")

    def _move(self) -> None:
        under_way = sum(part for _, part in self._open.values())
        ended = len(self._outcomes)
        said = f"{ended:,}/{self._images:,}" + ("  loading the models" if self._loading else "")
        self._bars.update(self._all, completed=ended + under_way, said=said)

    def _print(self, line: str, style: str) -> None:
        self._console.print(line, style=style, highlight=False, soft_wrap=True, markup=False)


def shortened(name: str, most: int = NAME) -> str:
    """Cut a long name in its middle: names of a series often differ at their end."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-(most // 2) :]}"
