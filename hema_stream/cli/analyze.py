"""``hema-stream analyze``: smear images in, a report for each out."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hema_stream.cli.leave import leave_at_once
from hema_stream.cli.microns import MPP
from hema_stream.cli.site.option import site_option

if TYPE_CHECKING:
    from hema_stream.core.errors import InputError
    from hema_stream.core.slide import InputImage
    from hema_stream.service.analysis import Finished, Observer, Options

EXIT_OK, EXIT_REJECTED, EXIT_FAILED, EXIT_INTERRUPTED = 0, 3, 4, 130


@click.command("analyze")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of results.")
@click.option("--profile", default="cpu", show_default=True, help="Profile in configs/profiles, or a file.")
@click.option("--backend", type=click.Choice(["openvino", "torch", "onnxruntime"]), help="What runs the networks.")
@click.option("--mpp", type=MPP, help="Microns a pixel of every image.")
@click.option("--set", "settings", multiple=True, metavar="STAGE.PROP=VALUE", help="Set a stage's property.")
@site_option
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
    site: str | None,
    deltas: Path | None,
    as_json: bool,
    force: bool,
) -> None:
    """Analyse smear images: files, folders or patterns.

    For each input OUT/<id> gets report.json, overlay.png and cells.geojson. Exit code 0: all done; 2: usage;
    3: some inputs rejected, the rest done; 4: failed; 130: interrupted, partial reports kept and marked.
    """
    from hema_stages.source import find_inputs

    from hema_stream.cli.claim import claimed
    from hema_stream.cli.progress import open_display
    from hema_stream.cli.shortage import check_address_space
    from hema_stream.cli.site.used import check_site
    from hema_stream.service.analysis import Finished, Options
    from hema_stream.service.build import backend_settings, site_settings

    check_address_space()
    check_site(site)
    images, errors = find_inputs(inputs, mpp)
    told = (*backend_settings("smear", backend), *site_settings("smear", site), *settings)
    options = Options(out, profile, told, deltas, replace=force)
    with claimed(out, images, force) as (free, taken):
        refused = [*map(_unusable, errors), *(Finished(image, "rejected", error=error) for image, error in taken)]
        with open_display(len(free) + len(refused), as_json, out) as display:
            for outcome in refused:
                display.finished(outcome)
            code = _run(free, options, display) if free else EXIT_OK
            display.close(code == EXIT_INTERRUPTED)
    if code == EXIT_INTERRUPTED:
        leave_at_once(EXIT_INTERRUPTED)
    sys.exit(EXIT_REJECTED if code == EXIT_OK and refused else code)


def _unusable(error: InputError) -> Finished:
    from hema_stream.core.slide import InputImage
    from hema_stream.service.analysis import Finished

    return Finished(InputImage("", Path(error.place)), "rejected", error=error)


def _run(images: Sequence[InputImage], options: Options, observer: Observer) -> int:
    import uvloop

    return uvloop.run(_analyze(images, options, observer))


async def _analyze(images: Sequence[InputImage], options: Options, observer: Observer) -> int:
    """Run to the end, or to the first Ctrl-C, which keeps partial reports; a second one ends at once."""
    from hema_stream.service.analysis import analyze

    cancel = asyncio.Event()

    def interrupt() -> None:
        if cancel.is_set():
            leave_at_once(EXIT_INTERRUPTED)
        cancel.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    outcomes = await analyze(images, options, observer, cancel)
    if cancel.is_set():
        return EXIT_INTERRUPTED
    statuses = {outcome.status for outcome in outcomes}
    if "failed" in statuses:
        return EXIT_FAILED
    return EXIT_REJECTED if "rejected" in statuses else EXIT_OK
