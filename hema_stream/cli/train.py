"""``hema-stream train``: the segmenter and the two classifiers from labelled smears."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("train")
def command() -> None:
    """Train a model from labelled smears."""


@command.command()
@click.option("--data", type=FOLDER, required=True, help="Folder with train.json (COCO) and its images.")
@click.option("--start", type=FILE, help="Weights to begin from (safetensors).")
@click.option("--out", type=FILE, required=True, help="Where the weights go (safetensors).")
@click.option("--architecture", default="yolo11n-seg", show_default=True)
@click.option("--minutes", default=55.0, show_default=True, help="Wall time of the schedule.")
@click.option("--folds", default=5, show_default=True, help="Folds by smear, run or picture.")
@click.option("--fold", type=int, default=0, show_default=True, help="Fold held out for development; -1 for none.")
@click.option("--exclude-source", multiple=True, help="Laboratory to leave out; may be repeated.")
def segment(
    data: Path,
    start: Path | None,
    out: Path,
    architecture: str,
    minutes: float,
    folds: int,
    fold: int,
    exclude_source: tuple[str, ...],
) -> None:
    """Train the segmenter on packed fields at 0.25 um a pixel."""
    from hema_models.training.segment import SegmentRecipe, train_segmenter

    labs = tuple(lab for lab in SegmentRecipe.labs if lab not in exclude_source)
    recipe = SegmentRecipe(labs=labs, minutes=minutes, folds=folds, fold=None if fold < 0 else fold)
    train_segmenter(data / "train.json", start, out, recipe, architecture, click.echo)
