"""``hema-stream site learn``: a new version of a site, from named cells and from cells at large."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hema_stream.cli.microns import MPP
from hema_stream.cli.site.words import standing, table

if TYPE_CHECKING:
    from hema_models.site.profile import OwnClass, Profile
    from hema_models.site.reviewed import Reviewed
    from hema_models.site.statistics import SlideStatistics

    from hema_stream.cli.site.cells import Asked, Cells

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
PLACE = click.Path(exists=True, path_type=Path)


@click.command("learn")
@click.argument("name")
@click.option("--stream", type=click.Choice(["rbc", "wbc"]), required=True, help="Which classifier.")
@click.option("--labels", type=FILE, help="CSV of named cells: path (relative to it), class, mpp, split, source.")
@click.option("--split", help="Only rows of this split.")
@click.option("--source", "sources", multiple=True, help="Only rows of this source; may be repeated.")
@click.option("--unlabelled", type=PLACE, help="Folder of fields, or CSV of pictures of one cell, that nobody named.")
@click.option("--new-class", "new_classes", multiple=True, help="A class of the site's own; may be repeated.")
@click.option("--profile", default="cpu", show_default=True, help="Profile in configs/profiles, or a file.")
@click.option("--set", "settings", multiple=True, metavar="STAGE.PROP=VALUE", help="Set a stage's property.")
@click.option("--mpp", type=MPP, help="Microns a pixel of every picture.")
def command(
    name: str,
    stream: str,
    labels: Path | None,
    split: str | None,
    sources: tuple[str, ...],
    unlabelled: Path | None,
    new_classes: tuple[str, ...],
    profile: str,
    settings: tuple[str, ...],
    mpp: float | None,
) -> None:
    """Learn from a site's cells, besides what it has learnt before; makes a new version, and switches nothing on.

    Named cells come from --labels, three of a class or more. --unlabelled tells what cells look like at the site:
    colours, focus and sharpness that the names are then read against.
    """
    from hema_models.site.store import SiteStore

    from hema_stream.cli.site.cells import Asked

    if labels is None and unlabelled is None:
        raise click.UsageError("give --labels, --unlabelled, or both")
    store = SiteStore()
    before = store.load(name)
    asked = Asked(stream, profile, settings, mpp)
    rows, own = _named_rows(before, asked.stream, labels, split, sources, new_classes)
    learnt = _learn(before, asked, rows, own, unlabelled, split, sources)
    store.save(learnt)
    click.echo(f"{name}: version {learnt.version}, identity {learnt.identity[:16]}")
    for line in standing(learnt):
        click.echo(f"  {line}")
    judged = learnt.streams[stream].judgement
    for line in table(stream, judged) if judged is not None else ():
        click.echo(line)
    click.echo(f"nothing is switched on yet: hema-stream site use {name}")


def _named_rows(
    before: Profile,
    stream: str,
    labels: Path | None,
    split: str | None,
    sources: Sequence[str],
    new_classes: Sequence[str],
) -> tuple[list[dict[str, Any]], list[OwnClass]]:
    from hema_models.site.labels import new_own_classes, usable

    from hema_stream.cli.evaluate.pictures import labelled
    from hema_stream.core.errors import ConfigError

    if labels is None:
        if new_classes:
            raise click.UsageError("--new-class needs --labels")
        return [], []
    rows = labelled(labels, split, sources)
    if rows and "class" not in rows[0]:
        raise ConfigError("has no column 'class'", place=str(labels), remedy="columns: path, class, mpp, split, source")
    known = before.streams.get(stream)
    has = [one.name for one in known.own] if known else []
    kept = usable(rows, stream, has, new_classes, str(labels))
    if dropped := len(rows) - len(kept):
        click.echo(f"{dropped} rows are of classes that are not learnt, and left out")
    if not kept:
        remedy = "look at --split and --source"
        raise ConfigError("has no row to learn from", place=str(labels), remedy=remedy)
    return kept, new_own_classes(kept, stream, has, new_classes, str(labels))


def _learn(
    before: Profile,
    asked: Asked,
    rows: Sequence[dict[str, Any]],
    own: Sequence[OwnClass],
    unlabelled: Path | None,
    split: str | None,
    sources: Sequence[str],
) -> Profile:
    from hema_models.site.labels import allowed_by
    from hema_models.site.learn import learn
    from hema_models.site.reviewed import empty

    from hema_stream.cli.site.cells import central_cells
    from hema_stream.core.taxonomy import load_taxonomy

    classes = load_taxonomy(asked.stream).names
    slides, network, size = _at_large(unlabelled, asked, split, sources) if unlabelled else ([], "", 0)
    if rows:
        cells = central_cells(rows, asked)
        network, reviewed = cells.network, _reviewed(cells, rows)
        click.echo(f"named cells: {_counted(reviewed.labels.tolist())}")
    else:
        reviewed = empty(size, len(classes))
    known = before.streams.get(asked.stream)
    if known is not None and known.network != network:
        lost = f"{len(known.reviewed)} named cells and {len(known.slides)} slides"
        click.echo(f"learnt before with another network, and let go: {lost}; give them again")
    return learn(before, asked.stream, network, classes, reviewed, slides, allowed_by(asked.stream), own)


def _at_large(
    place: Path, asked: Asked, split: str | None, sources: Sequence[str]
) -> tuple[list[SlideStatistics], str, int]:
    """Statistics of cells that nobody named, the network that saw them, and how many features it has."""
    from hema_models.site.statistics import slide_statistics

    from hema_stream.cli.evaluate.pictures import labelled
    from hema_stream.cli.site.cells import central_cells, field_cells, slides_of
    from hema_stream.core.errors import ConfigError

    if place.is_dir():
        cells, rows = field_cells(place, asked)
        groups = [rows[row]["path"] for row in cells.rows]
    else:
        rows = labelled(place, split, sources)
        if not rows:
            raise ConfigError("has no row to learn from", place=str(place), remedy="look at --split and --source")
        cells = central_cells(rows, asked)
        groups = [rows[row].get("smear_or_patient") or "" for row in cells.rows]
    dealt = slides_of(groups)
    click.echo(f"cells at large: {len(cells)} in {len(dealt)} slides")
    told = [slide_statistics(cells.features[part], cells.probabilities[part]) for part in dealt]
    return told, cells.network, cells.features.shape[1]


def _reviewed(cells: Cells, rows: Sequence[dict[str, Any]]) -> Reviewed:
    import numpy as np
    from hema_models.site.head import answers_of
    from hema_models.site.reviewed import Reviewed

    chosen = [rows[row] for row in cells.rows]
    labels, origins = [row["class"] for row in chosen], [_origin(row) for row in chosen]
    return Reviewed(cells.features, answers_of(cells.probabilities), np.array(labels), np.array(origins))


def _origin(row: dict[str, Any]) -> str:
    """A picture by its name in the table and by its content: a copy elsewhere is the same cell only if both agree."""
    return f"{row['path']}#{hashlib.sha256(Path(row['file']).read_bytes()).hexdigest()[:12]}"


def _counted(labels: Sequence[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(Counter(labels).items()))
