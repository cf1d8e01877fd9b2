"""``hema-stream evaluate suite``: every task by laboratory, in one report."""

from __future__ import annotations

from pathlib import Path

import click

from hema_stream.cli.evaluate.options import FOLDER
from hema_stream.cli.site.option import site_option

TASKS = ("white", "red", "points", "fields", "detection", "slides", "left-out")


@click.command("suite")
@click.option("--data", type=FOLDER, required=True, help="Folder with wbc/, rbc/ and detection/.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the report.")
@click.option("--task", "tasks", type=click.Choice(TASKS), multiple=True, help="Only this; may be repeated.")
@click.option("--left-out", type=FOLDER, help="Folder with the answers that benchmarks/left_out.py wrote.")
@click.option("--split", type=click.Choice(["train", "val"]), default="train", show_default=True)
@click.option("--most", type=click.IntRange(min=1), help="At most so many pictures of a source and label.")
@click.option("--draws", default=200, show_default=True, help="Of the bootstrap behind each interval.")
@click.option("--set", "settings", multiple=True, metavar="STAGE.PROP=VALUE", help="Set a stage's property.")
@click.option("--profile", default="cpu", show_default=True, help="Profile in configs/profiles, or a file.")
@site_option
def command(
    data: Path,
    out: Path,
    tasks: tuple[str, ...],
    left_out: Path | None,
    split: str,
    most: int | None,
    draws: int,
    settings: tuple[str, ...],
    profile: str,
    site: str | None,
) -> None:
    """Score white cells, red cells, fields, detection and composed slides by laboratory.

    Writes suite.json, suite.md and plots. The product answers one split of the data; with --left-out the answers of
    networks that never saw a laboratory are scored beside. Answers are kept under --out, so a second run is quick.
    """
    from hema_models.evaluation.pages import markdown
    from hema_models.evaluation.plots import write_plots

    from hema_stream.cli.evaluate.suite.recipe import Recipe
    from hema_stream.cli.evaluate.suite.report import Suite, write_json

    if "left-out" in tasks and left_out is None:
        raise click.UsageError("--task left-out needs --left-out")
    suite = Suite(data, out, left_out, split, most, draws, Recipe(profile, settings, site))
    document = suite.figures(tasks or TASKS)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "suite.json", document)
    plots = write_plots(document, out)
    (out / "suite.md").write_text(markdown(document, plots), encoding="utf-8")
    click.echo(f"{out / 'suite.md'}, suite.json, {len(plots)} plots")
