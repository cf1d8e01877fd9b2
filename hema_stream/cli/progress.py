"""What a person sees while images are analysed: a live bar on a terminal, plain lines elsewhere, JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from hema_stream.service.analysis import Finished, Observer

LEADING = 4


@contextmanager
def open_progress(images: int, as_json: bool, out: Path) -> Iterator[Observer]:
    """Choose what suits the terminal, and close it."""
    if as_json:
        yield JsonLines()
    elif Console().is_terminal:
        with LiveProgress(images, out) as live:
            yield live
    else:
        yield PlainLines(images, out)


def rejection(outcome: Finished) -> str:
    """One clear line of an image that has no result."""
    return f"{outcome.status}: {outcome.error}"


def summary_line(outcome: Finished, out: Path) -> str:
    """One line of an image that is done."""
    head = outcome.head
    if head is None:
        return f"{outcome.status}: {outcome.image.path}"
    counts = head.summary
    white = " ".join(f"{name} {share.percent:.0f}%" for name, share in _leading(head.wbc_differential.percentages))
    partial = " PARTIAL" if head.status == "partial" else ""
    return (
        f"{outcome.image.id}:{partial} {counts.total_cells} cells, {counts.rbc_count} red, {counts.wbc_count} white, "
        f"{counts.platelet_count} platelets{f' ({white})' if white else ''} -> {out / outcome.image.id}"
    )


def _leading(shares: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(((n, s) for n, s in shares.items() if s.percent), key=lambda pair: -pair[1].count)[:LEADING]


def differential_so_far(counts: dict[str, int]) -> str:
    """The most frequent white cells so far, in percent of those classified."""
    white = {name[4:]: n for name, n in counts.items() if name.startswith("wbc/") and name != "wbc/unknown"}
    total = sum(white.values())
    ranked = sorted(white.items(), key=lambda pair: -pair[1])[:LEADING]
    return " ".join(f"{name} {100 * n / total:.0f}%" for name, n in ranked) if total else ""


class JsonLines:
    """One line of JSON an image."""

    def progressed(self, slide: str, data: dict[str, Any]) -> None:
        """Say nothing on the way."""

    def finished(self, outcome: Finished) -> None:
        """Print the summary, or what went wrong."""
        line: dict[str, Any] = {"id": outcome.image.id, "path": str(outcome.image.path), "status": outcome.status}
        if outcome.head is not None:
            line |= {"report": outcome.head.status, "summary": outcome.head.summary.model_dump(mode="json")}
        if outcome.error is not None:
            line |= {"code": str(getattr(outcome.error, "code", "")), "error": str(outcome.error)}
        click.echo(json.dumps(line))


class PlainLines:
    """A line an image, for logs and pipes."""

    def __init__(self, images: int, out: Path) -> None:
        self._images, self._out, self._done = images, out, 0

    def progressed(self, slide: str, data: dict[str, Any]) -> None:
        """Say nothing on the way."""

    def finished(self, outcome: Finished) -> None:
        """Print a line."""
        self._done += 1
        if outcome.status in ("rejected", "failed"):
            click.echo(rejection(outcome), err=True)
        else:
            click.echo(f"[{self._done}/{self._images}] {summary_line(outcome, self._out)}")


class LiveProgress:
    """A bar for all images, and one for each that is open: tiles, cells, the differential so far, time left."""

    def __init__(self, images: int, out: Path) -> None:
        self._out = out
        self._console = Console()
        self._bars = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._all = self._bars.add_task("images", total=images, said="")
        self._open: dict[str, Any] = {}

    def __enter__(self) -> LiveProgress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def progressed(self, slide: str, data: dict[str, Any]) -> None:
        """Move a slide's bar."""
        tiles = data["tiles"]
        if slide not in self._open:
            self._open[slide] = self._bars.add_task(slide[:28], total=tiles["planned"], said="")
        ended = sum(n for name, n in tiles.items() if name != "planned")
        said = f"{data['counts'].get('cells', 0):,} cells  {differential_so_far(data['counts'])}"
        self._bars.update(self._open[slide], completed=ended, said=said)

    def finished(self, outcome: Finished) -> None:
        """Close a slide's bar and leave its line."""
        task = self._open.pop(outcome.image.id, None)
        if task is not None:
            self._bars.remove_task(task)
        self._bars.advance(self._all)
        style = "red" if outcome.status in ("rejected", "failed") else ""
        line = rejection(outcome) if style else summary_line(outcome, self._out)
        self._console.print(line, style=style, highlight=False, soft_wrap=True)
