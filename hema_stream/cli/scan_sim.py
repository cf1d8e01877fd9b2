"""``hema-stream scan-sim``: an image played to a service as a scanner would."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hema_stream.cli.extras import need
from hema_stream.cli.microns import MPP

if TYPE_CHECKING:
    from hema_stream.cli.scan.faults import Course
    from hema_stream.cli.scan.picture import Cut, Picture
    from hema_stream.cli.scan.scanner import Told

EXIT_OK, EXIT_REJECTED, EXIT_FAILED = 0, 3, 4
REACH = 4
"""Turns by which a reordered field is late at most; the service's window allows more."""


@click.command("scan-sim")
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--url", default="http://127.0.0.1:8765", show_default=True, help="Address of the service.")
@click.option("--token", required=True, envvar="HEMA_STREAM_TOKEN", show_envvar=True, help="One that allows 'submit'.")
@click.option("--rate", default=5.0, show_default=True, type=click.FloatRange(0), help="Fields a second; 0: no limit.")
@click.option("--faults", default="", help="lost=0.05,repeated=0.05,reordered=0.2,cut=10")
@click.option("--field", "side", default=(640, 480), show_default=True, type=(int, int), help="Width and height, px.")
@click.option("--overlap", default=0.15, show_default=True, type=click.FloatRange(0, 0.5), help="Share of a side.")
@click.option("--mpp", type=MPP, help="Microns a pixel, where the file does not tell.")
@click.option("--jitter", default=0.0, show_default=True, type=click.FloatRange(0), help="Stage error, um.")
@click.option("--no-grid", is_flag=True, help="Declare no grid: watermarks alone say what is done.")
@click.option("--quality", default=95, show_default=True, type=click.IntRange(0, 100), help="Of JPEG; 0 sends raw.")
@click.option("--seed", default=0, show_default=True, help="Of faults and jitter.")
@click.option("--insecure", is_flag=True, help="Do not check the service's certificate.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def command(
    image: Path,
    url: str,
    token: str,
    rate: float,
    faults: str,
    side: tuple[int, int],
    overlap: float,
    mpp: float | None,
    jitter: float,
    no_grid: bool,
    quality: int,
    seed: int,
    insecure: bool,
    as_json: bool,
) -> None:
    """Play IMAGE to a service field by field, with what may go wrong on the way.

    Exit code 0: the slide is done; 2: usage; 3: rejected; 4: failed or cancelled, or no service; 130:
    interrupted, and the scan given up.
    """
    need("server", "aiohttp")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background may have inherited none
    from hema_stream.cli.scan.faults import Faults, plan_course
    from hema_stream.cli.scan.picture import Cut, Picture

    try:
        parsed = Faults.parse(faults)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--faults") from error
    picture = Picture(image, mpp, jitter, quality, seed)
    try:
        cut = Cut.of(picture.size, side, overlap, picture.mpp)
        course = plan_course(len(cut), parsed, seed, REACH)
        told = asyncio.run(_play(url, token, image.name, picture, cut, course, rate, not no_grid, insecure))
    finally:
        picture.close()
    click.echo(json.dumps(_as_json(told, course, cut)) if as_json else _as_text(told, course, cut))
    sys.exit({"done": EXIT_OK, "rejected": EXIT_REJECTED}.get(told.end["status"], EXIT_FAILED))


async def _play(
    url: str,
    token: str,
    name: str,
    picture: Picture,
    cut: Cut,
    course: Course,
    rate: float,
    gridded: bool,
    insecure: bool,
) -> Told:
    import aiohttp

    from hema_stream.cli.scan.scanner import Scanner

    headers = {"Authorization": f"Bearer {token}"}
    connector = aiohttp.TCPConnector(ssl=not insecure)
    async with aiohttp.ClientSession(url, headers=headers, connector=connector) as session:
        scanner = Scanner(session, cut, course, lambda index: picture.field(cut, index), 1 / rate if rate else 0.0)
        return await scanner.scan(name, gridded)


def _as_json(told: Told, course: Course, cut: Cut) -> dict[str, Any]:
    end = told.end
    return {
        "slide": told.slide,
        "fields": len(cut),
        "sent": told.sent,
        "accepted": len(told.accepted),
        "repeated": told.repeated,
        "left_out": sorted(course.lost),
        "refused": told.refused,
        "unreadable": sorted(told.unreadable),
        "cuts": told.cuts,
        "waited": round(told.waited, 2),
        "seconds": round(told.seconds, 2),
        "first_cells": None if told.first_cells is None else round(told.first_cells, 2),
        "enough": told.enough,
        **{key: end[key] for key in ("status", "url", "counts", "progress")},
    }


def _as_text(told: Told, course: Course, cut: Cut) -> str:
    counts = told.end["counts"]
    lines = [
        f"{len(cut):,} fields: {told.sent:,} sent, {len(told.accepted):,} acknowledged, {told.repeated:,} known already"
        f", {len(course.lost):,} left out, {len(told.refused):,} refused, {len(told.unreadable):,} unreadable",
        f"{told.cuts} lines cut; {told.seconds:.1f} s, of these {told.waited:.1f} s without a credit",
        f"{told.end['status']}: {counts.get('cells', 0):,} cells, {counts.get('rbc', 0):,} red, "
        f"{counts.get('wbc', 0):,} white -> {told.end['url'] or 'no report'}",
    ]
    return "\n".join(lines)
