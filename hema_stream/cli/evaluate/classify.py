"""``hema-stream evaluate classify``: one labelled cell a picture."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from hema_stream.cli.evaluate.options import FILE, FOLDER, OUTPUT, pipeline_options
from hema_stream.cli.evaluate.pictures import inputs_of, labelled, pictures


@click.command("classify")
@click.option("--stream", type=click.Choice(["rbc", "wbc"]), required=True, help="Which classifier.")
@click.option("--labels", type=FILE, help="CSV with columns path (relative to it), class, mpp, split.")
@click.option("--split", help="Only rows of this split.")
@click.option("--source", "sources", multiple=True, help="Only rows of this source; may be repeated.")
@click.option("--images", type=FOLDER, help="Folder of pictures, instead of --labels.")
@click.option("--out", type=OUTPUT, required=True, help="CSV of predictions.")
@pipeline_options
def command(
    stream: str,
    labels: Path | None,
    split: str | None,
    sources: tuple[str, ...],
    images: Path | None,
    out: Path,
    profile: str,
    settings: tuple[str, ...],
    mpp: float | None,
    site: str | None,
) -> None:
    """Classify the central cell of every picture, cropped as the pipeline crops."""
    from hema_stream.cli.evaluate.collected import collect
    from hema_stream.cli.site.used import far_line, site_taxonomy
    from hema_stream.core.crops import Labels
    from hema_stream.service.build import site_settings

    if (labels is None) == (images is None):
        raise click.UsageError("give either --labels or --images")
    rows = labelled(labels, split, sources) if labels else pictures(images or Path())
    streams = (f"central.stream={stream}", f"classify.stream={stream}")
    told = (*site_settings("central", site), *(("classify.keep_features=true",) if site else ()))
    collected = collect("central", inputs_of(rows, mpp), profile, (*streams, *told, *settings))
    names = site_taxonomy(stream, site).names
    answers = [_answer(rows[n], collected.items.get(str(n), ()), names) for n in range(len(rows))]
    for id_, reason in collected.failed.items():
        click.echo(f"no result: {rows[int(id_)]['path']}: {reason}", err=True)
    with out.open("w", newline="", encoding="utf-8") as handle:
        columns = ["path", "predicted", "confidence", "unknown", "found", "kind", "scale_source", *names]
        writer = csv.DictWriter(handle, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(answers)
    for line in _summary(stream, rows, answers):
        click.echo(line)
    if site:
        said = [item for items in collected.items.values() for item in items if isinstance(item, Labels)]
        for line in (*_own_lines(stream, names, rows, answers), far_line(stream, site, said)):
            if line:
                click.echo(line)


def _answer(row: dict[str, Any], items: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    from hema_stream.core.crops import Labels

    answer: dict[str, Any] = {"path": row["path"], "predicted": "", "confidence": 0, "unknown": 1, "found": 0}
    for item in items:
        if isinstance(item, Labels):
            answer |= {
                "predicted": names[item.best[0]],
                "confidence": f"{item.confidence[0]:.5f}",
                "unknown": int(item.unknown[0]),
                **{name: f"{p:.5f}" for name, p in zip(names, item.probabilities[0], strict=True)},
            }
        elif hasattr(item, "found"):
            answer |= {"found": int(item.found), "kind": item.kind, "scale_source": item.scale_source}
    return answer


def _own_lines(
    stream: str, names: Sequence[str], rows: Sequence[dict[str, Any]], answers: Sequence[dict[str, Any]]
) -> Iterator[str]:
    """How the site's own classes did, which the scores by source leave out."""
    from hema_stream.core.taxonomy import load_taxonomy

    for name in names[len(load_taxonomy(stream).names) :]:
        called = [row.get("class") for row, answer in zip(rows, answers, strict=True) if answer["predicted"] == name]
        there = sum(row.get("class") == name for row in rows)
        yield f"{name} (the site's own): {called.count(name)} of {there} found; {len(called)} called so"


def _summary(stream: str, rows: Sequence[dict[str, Any]], answers: Sequence[dict[str, Any]]) -> Iterator[str]:
    total = max(len(answers), 1)
    found = [a for a in answers if a["found"]]
    elsewhere = sum(a.get("kind") != stream for a in found)
    yield f"{len(answers)} pictures; a cell found at the middle of {len(found)} ({len(found) / total:.1%})"
    yield f"the segmenter would have routed {elsewhere} of them elsewhere ({elsewhere / max(len(found), 1):.1%})"
    if rows and rows[0].get("class"):
        from hema_models.evaluation.classification import summarise

        yield from summarise(stream, rows, answers)
