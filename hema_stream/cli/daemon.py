"""``hema-stream daemon``: the service and its watched folders on a box beside the microscope."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hema_stream.cli.extras import need
from hema_stream.cli.leave import leave_at_once
from hema_stream.cli.logs import log_as_json
from hema_stream.cli.site.option import site_option

EXIT_STOPPED, EXIT_USAGE, EXIT_FAILED = 0, 2, 4
LEVELS = ("debug", "info", "warning", "error")


@click.command("daemon")
@click.option("--config", "path", type=click.Path(path_type=Path), required=True, help="The daemon's YAML file.")
@click.option("--check", is_flag=True, help="Only check the configuration.")
@site_option
@click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True)
def command(path: Path, check: bool, site: str | None, log_level: str) -> None:
    """Run the service and watch folders until SIGTERM, as docs/daemon.md describes.

    Exit code 0: stopped, or the configuration is good; 2: it is not, each fault is told with its line and key;
    4: failed, or the stop took longer than it may.
    """
    need("server", "aiohttp", "alembic", "sdnotify")
    from hema_stream.cli.site.used import check_known
    from hema_stream.core.faults import FaultyConfigError
    from hema_stream.service.daemon.config import read_config
    from hema_stream.service.daemon.examine import examine

    check_known(site)
    try:
        config, document = read_config(path)
        config = config.model_copy(update={"site": site or config.site})
        if faults := examine(config, document):
            raise FaultyConfigError(document.name, faults)
    except FaultyConfigError as error:
        for fault in error.faults:
            click.echo(f"{error.name}:{fault}", err=True)
        sys.exit(EXIT_USAGE)
    if warning := check_known(config.site):
        click.echo(warning, err=True)
    if check:
        click.echo(f"{path}: good")
        return
    import uvloop

    from hema_stream.service.daemon.run import run_daemon
    from hema_stream.service.daemon.source import folder_watch

    log_as_json(log_level)
    watch = folder_watch(config.limits) if config.folders else None
    uvloop.run(run_daemon(config, watch, _say, lambda: leave_at_once(EXIT_FAILED)))
    leave_at_once(EXIT_STOPPED)  # calls that were given up would be waited for


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()
