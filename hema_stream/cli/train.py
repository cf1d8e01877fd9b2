"""``hema-stream train``: the segmenter and the two classifiers from labelled smears."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


def common_options(function: F) -> F:
    """Add what every training takes."""
    for option in (
        click.option("--exclude-source", multiple=True, help="Source to leave out; may be repeated."),
        click.option("--fold", type=int, help="Fold held out of training; none trains on everything."),
        click.option("--folds", default=5, show_default=True, help="Folds by smear, run or picture."),
        click.option("--out", type=FILE, required=True, help="Where the weights go (safetensors); the card beside."),
        click.option("--start", type=FILE, help="Weights to begin from (safetensors)."),
    ):
        function = option(function)
    return function


def left_out_options(function: F) -> F:
    """Add what a classifier's training may hold out besides folds: whole laboratories."""
    for option in (
        click.option("--fold-of", multiple=True, help="Deal folds among this source alone; may be repeated."),
        click.option("--seed", type=int, help="Of all that is drawn; the recipe's where none is given."),
        click.option("--styles", type=float, help="Share of the batches whose crops swap styles; the recipe's else."),
        click.option("--left-out", multiple=True, help="Source held out whole and answered for; may be repeated."),
    ):
        function = option(function)
    return function


@click.group("train")
def command() -> None:
    """Train a model from labelled smears. Use the card that is written with --set stage.model=CARD."""


@command.command()
@click.option("--data", type=FOLDER, required=True, help="Folder with train.json (COCO) and its images.")
@click.option("--architecture", default="yolo11n-seg", show_default=True, help="ultralytics segmentation model.")
@click.option("--minutes", default=55.0, show_default=True, help="Wall time of the schedule.")
@click.option("--learning-rate", default=2e-3, show_default=True, help="Highest of the schedule; 5e-4 to fine-tune.")
@common_options
def segment(
    data: Path,
    architecture: str,
    minutes: float,
    learning_rate: float,
    start: Path | None,
    out: Path,
    folds: int,
    fold: int | None,
    exclude_source: tuple[str, ...],
) -> None:
    """Train the segmenter on packed fields at 0.25 um a pixel."""
    from hema_models.training.card import write_card
    from hema_models.training.segment import SegmentRecipe, train_segmenter

    labs = tuple(lab for lab in SegmentRecipe.labs if lab not in exclude_source)
    recipe = SegmentRecipe(labs=labs, minutes=minutes, folds=folds, fold=fold, learning_rate=learning_rate)
    train_segmenter(data / "train.json", start, out, recipe, architecture, click.echo)
    click.echo(f"card: {write_card(out, architecture, None, (), 'AGPL-3.0')}")


@command.command()
@click.option("--data", type=FOLDER, required=True, help="Folder with labels.csv and chula_rbc12.")
@click.option("--architecture", default="tf_efficientnet_lite0", show_default=True, help="timm model.")
@click.option("--passes", type=float, help="One round of so many passes over the data, instead of the recipe's.")
@click.option("--piece", default=8, show_default=True, help="Fields of a block that stay together; more are cut up.")
@click.option("--healthy", type=EXISTING, help="COCO file with fields of people without blood disease.")
@click.option("--healthy-lab", multiple=True, default=("pbc",), show_default=True, help="Which of its laboratories.")
@click.option(
    "--ungraded-lab",
    multiple=True,
    default=("bccd", "raabin"),
    show_default=True,
    help="Further ones of it, of whose people nothing is told.",
)
@left_out_options
@common_options
def rbc(**options: Any) -> None:
    """Train the red cell classifier."""
    _classifier("rbc", **options)


@command.command()
@click.option("--data", type=FOLDER, required=True, help="Folder with labels.csv.")
@click.option("--architecture", default="tf_efficientnet_lite0", show_default=True, help="timm model.")
@click.option("--passes", type=float, help="One round of so many passes over the data, instead of the recipe's.")
@left_out_options
@common_options
def wbc(**options: Any) -> None:
    """Train the white cell classifier."""
    _classifier("wbc", **options)


@command.command()
@click.argument("weights", nargs=-1, type=EXISTING, required=True)
@click.option("--out", type=FILE, required=True, help="Where the mean goes (safetensors), to --start from.")
def average(weights: tuple[Path, ...], out: Path) -> None:
    """Average WEIGHTS of one architecture that were trained from one start."""
    from hema_models.weights.state import average_states

    try:
        average_states(weights, out)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"mean of {len(weights)}: {out}")


def _classifier(
    stream: str,
    data: Path,
    architecture: str,
    passes: float | None,
    start: Path | None,
    out: Path,
    folds: int,
    fold: int | None,
    exclude_source: tuple[str, ...],
    piece: int = 8,
    healthy: Path | None = None,
    healthy_lab: tuple[str, ...] = (),
    ungraded_lab: tuple[str, ...] = (),
    left_out: tuple[str, ...] = (),
    fold_of: tuple[str, ...] = (),
    seed: int | None = None,
    styles: float | None = None,
) -> None:
    from dataclasses import replace

    from hema_models.training.card import write_card
    from hema_models.training.classify import RECIPES, train_classifier
    from hema_models.training.crops import Healthy

    from hema_stream.core.taxonomy import load_taxonomy

    classes = load_taxonomy(stream).learnt
    recipe = replace(RECIPES[stream], folds=folds, fold=fold, exclude=exclude_source, piece=piece)
    recipe = replace(recipe, left_out=left_out, fold_of=fold_of)
    given: dict[str, Any] = {"seed": seed, "styles": styles}
    recipe = replace(recipe, **{name: value for name, value in given.items() if value is not None})
    recipe = replace(recipe, healthy=Healthy(healthy, healthy_lab, ungraded_lab)) if healthy else recipe
    recipe = replace(recipe, rounds=(replace(recipe.rounds[0], passes=passes),)) if passes else recipe
    crops, held, logits = train_classifier(stream, data, classes, start, out, recipe, architecture, click.echo)
    asked: dict[str, Any] = {"views": recipe.views, "sure": recipe.sure, "second_look": recipe.second_look}
    asked["colours"] = "density" if recipe.density else "own"
    card = write_card(out, architecture, stream, classes, "research use; see the data", **asked)
    click.echo(f"card: {card}")
    if len(held):
        path = out.with_suffix(".heldout.csv.gz")
        with gzip.open(path, "wt", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle)
            writer.writerow(["name", "class", "source", "group", *classes])
            for row, values in zip(held, logits, strict=True):
                writer.writerow(
                    [crops.names[row], crops.labels[row], crops.sources[row], crops.groups[row], *values.round(3)]
                )
        click.echo(f"logits of {len(held)} held-out cells: {path}")
