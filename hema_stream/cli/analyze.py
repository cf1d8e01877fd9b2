"""``hema-stream analyze``: smear images in, a report for each out."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hema_stream.core.slide import InputImage
    from hema_stream.service.analysis import Observer, Options

EXIT_OK, EXIT_REJECTED, EXIT_FAILED, EXIT_INTERRUPTED = 0, 3, 4, 130


@click.command("analyze")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of results.")
@click.option("--profile", default="cpu", show_default=True, help="Profile in configs/profiles, or a file.")
@click.option("--backend", type=click.Choice(["openvino", "torch", "onnxruntime"]), help="What runs the networks.")
@click.option("--mpp", type=click.FloatRange(min=0, min_open=True), help="Microns a pixel of every image.")
@click.option("--set", "settings", multiple=True, metavar="STAGE.PROP=VALUE", help="Set a stage's property.")
@click.option("--deltas", type=click.Path(dir_okay=False, path_type=Path), help="Write every change as a JSON line.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON an input instead of progress.")
@click.option("--force", is_flag=True, help="Write over the results of an earlier run.")
def command(
    inputs: tuple[str, ...],
    out: Path,
    profile: str,
    backend: str | None,
    mpp: float | None,
    settings: tuple[str, ...],
    deltas: Path | None,
    as_json: bool,
    force: bool,
) -> None:
    """Analyse smear images: files, folders or patterns.

    For each input OUT/<id> gets report.json, overlay.png and cells.geojson. Exit code 0: all done; 2: usage;
    3: some inputs rejected, the rest done; 4: failed; 130: interrupted, partial reports kept and marked.
    """
    from hema_stages.source import find_inputs

    from hema_stream.cli.progress import open_progress
    from hema_stream.core.errors import InputError
    from hema_stream.service.analysis import Options
    from hema_stream.service.build import backend_settings

    images, rejected = find_inputs(inputs, mpp)
    free: list[InputImage] = []
    for image in images:
        if (out / image.id).exists() and not force:
            rejected.append(
                InputError("has results already", place=str(out / image.id), remedy="--force", code="exists")
            )
        else:
            free.append(image)
    for error in rejected:
        click.echo(f"rejected: {error}", err=True)
    options = Options(out, profile, (*backend_settings("smear", backend), *settings), deltas)
    with open_progress(len(free), as_json, out) as progress:
        code = _run(free, options, progress) if free else EXIT_OK
    if code == EXIT_INTERRUPTED:
        _leave_at_once(code)
    sys.exit(EXIT_REJECTED if code == EXIT_OK and rejected else code)


def _leave_at_once(code: int) -> None:
    """End without waiting for calls that were given up: the interpreter would join their threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(images: Sequence[InputImage], options: Options, observer: Observer) -> int:
    import uvloop

    return uvloop.run(_analyze(images, options, observer))


async def _analyze(images: Sequence[InputImage], options: Options, observer: Observer) -> int:
    """Run to the end, or to the first Ctrl-C; a second one ends at once."""
    from hema_stream.service.analysis import analyze

    cancel = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, cancel.set)
    loop.add_signal_handler(signal.SIGTERM, cancel.set)
    outcomes = await analyze(images, options, observer, cancel)
    if cancel.is_set():
        return EXIT_INTERRUPTED
    statuses = {outcome.status for outcome in outcomes}
    if "failed" in statuses:
        return EXIT_FAILED
    return EXIT_REJECTED if "rejected" in statuses else EXIT_OK
