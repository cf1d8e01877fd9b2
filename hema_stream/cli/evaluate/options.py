"""Options that every evaluation takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hema_stream.cli.microns import MPP
from hema_stream.cli.site.option import site_option

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
OUTPUT = click.Path(dir_okay=False, path_type=Path)


def pipeline_options(function: F) -> F:
    """Add ``--profile``, ``--set``, ``--mpp`` and ``--site``."""
    for option in (
        site_option,
        click.option("--mpp", type=MPP, help="Microns a pixel of every picture."),
        click.option("--set", "settings", multiple=True, metavar="STAGE.PROP=VALUE", help="Set a stage's property."),
        click.option("--profile", default="cpu", show_default=True, help="Profile in configs/profiles, or a file."),
    ):
        function = option(function)
    return function
