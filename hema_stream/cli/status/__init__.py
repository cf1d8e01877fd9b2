"""``hema-stream status``: how a running service stands; live on a terminal, once as plain text elsewhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hema_stream.cli.status.fetch import Service

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
EXIT_NOT_READY = 4


@click.command("status")
@click.option("--url", default="http://127.0.0.1:8765", show_default=True, envvar="HEMA_STREAM_URL", show_envvar=True)
@click.option("--token", default="", envvar="HEMA_STREAM_TOKEN", show_envvar=True, help="One that allows 'read'.")
@click.option("--token-file", type=FILE, help="File that holds the token; others cannot see it in the process list.")
@click.option("--ca", type=FILE, help="Certificate to trust, PEM, where the service has one of its own.")
@click.option("--every", default=1.0, show_default=True, type=click.FloatRange(0.2), help="Seconds between looks.")
@click.option("--once", is_flag=True, help="Plain text once, on a terminal too.")
def command(url: str, token: str, token_file: Path | None, ca: Path | None, every: float, once: bool) -> None:
    """Show what a running service does: slides under way, folders, disk. Ctrl-C ends it.

    Exit code 0: it works; 4: it does not answer, or is not ready.
    """
    from hema_stream.cli.status.fetch import Service
    from hema_stream.cli.status.plain import lines

    service = Service(url, token_file.read_text().strip() if token_file else token, ca)
    if once or not sys.stdout.isatty():
        standing = service.look()
        for line in lines(standing):
            click.echo(line)
        sys.exit(0 if standing.status["ready"] else EXIT_NOT_READY)
    _follow(service, every)


def _follow(service: Service, every: float) -> None:
    """Keep a page up to date; where the service falls silent its last figures stay, marked as old."""
    from rich.live import Live

    from hema_stream.cli.status.fetch import UnreachableError
    from hema_stream.cli.status.page import Page
    from hema_stream.cli.status.words import lasting

    standing, heard = service.look(), time.monotonic()
    with Live(Page(standing), screen=True, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(every)
                stale = ""
                try:
                    standing, heard = service.look(), time.monotonic()
                except UnreachableError as error:
                    stale = f"no answer for {lasting(time.monotonic() - heard)}: {error.message}"
                live.update(Page(standing, stale), refresh=True)
        except KeyboardInterrupt:
            return
