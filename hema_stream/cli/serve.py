"""``hema-stream serve``: the live service, until it is told to stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hema_stream.cli.extras import need
from hema_stream.cli.leave import leave_at_once
from hema_stream.cli.logs import log_as_json
from hema_stream.cli.site.option import site_option

if TYPE_CHECKING:
    from ssl import SSLContext

FOLDER = click.Path(file_okay=False, path_type=Path)
PRESENT = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("serve")
@click.option("--data", type=FOLDER, required=True, help="Folder of the database, uploads and results.")
@click.option("--root", "roots", type=PRESENT, multiple=True, help="Folder whose images may be submitted by path.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--origin", "origins", multiple=True, help="Web origin besides its own that may follow slides.")
@click.option("--tls-cert", type=FILE, help="Certificate chain, PEM; with --tls-key.")
@click.option("--tls-key", type=FILE, help="Private key, PEM.")
@click.option("--database", default="", help="SQLAlchemy URL of the database, instead of a file in the data folder.")
@click.option("--submit", multiple=True, metavar="PATH", help="Image within a root to queue, once.")
@click.option("--open", "open_page", is_flag=True, help="Open the page of the last of these, on a desktop.")
@click.option("--one-time-token", is_flag=True, help="Print a one-time token though there are tokens already.")
@click.option("--log", type=click.Path(dir_okay=False, path_type=Path), help="Add the log to this file, not to stderr.")
@click.option("--profile", default="cpu", show_default=True, help="Profile in configs/profiles, or a file.")
@click.option("--set", "settings", multiple=True, metavar="STAGE.PROP=VALUE", help="Set a stage's property.")
@site_option
def command(
    data: Path,
    roots: tuple[Path, ...],
    host: str,
    port: int,
    origins: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    database: str,
    submit: tuple[str, ...],
    open_page: bool,
    one_time_token: bool,
    log: Path | None,
    profile: str,
    settings: tuple[str, ...],
    site: str | None,
) -> None:
    """Serve the browser application, and the REST interface and live progress under /api/v1.

    The first start prints a one-time token: sign in with it, or make a real token with it. SIGTERM and Ctrl-C stop;
    images that are queued or under way go on with the next start.
    """
    need("server", "aiohttp", "alembic", "watchfiles")
    if (tls_cert is None) is not (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key belong together")
    import uvloop

    from hema_stream.cli.site.used import check_known
    from hema_stream.service.address import check_address
    from hema_stream.service.serve import serve
    from hema_stream.service.settings import ServiceSettings

    if warning := check_known(site):
        _say(warning)
    check_address(host, port)
    _make(data)
    log_as_json(file=log)
    made = ServiceSettings(
        data=data, roots=roots, origins=origins, profile=profile, settings=settings, database=database, site=site
    )
    tls = _tls(tls_cert, tls_key)
    show = _open if open_page else lambda _: None
    uvloop.run(serve(made, host, port, tls, _say, submit=submit, show=show, new_token=one_time_token))
    leave_at_once(0)  # calls that were given up would be waited for


def _make(data: Path) -> None:
    from hema_stream.service.app import PRIVATE

    try:
        data.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(
            f"{data} cannot be made: {error.strerror}; name another folder with --data"
        ) from error


def _open(page: str) -> None:
    """Open a page where there is a desktop: in a terminal a text browser would take the place of the service."""
    import os
    import webbrowser

    if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(page)


def _tls(certificate: Path | None, key: Path | None) -> SSLContext | None:
    if certificate is None or key is None:
        return None
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()
