"""What to say where an optional part of the product is not installed."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

CHECKOUT = Path(__file__).parent.parent.parent


def need(extra: str, *modules: str) -> None:
    """Import what an extra brings.

    Raises:
        click.ClickException: one is missing; it says how the extra is installed here.
    """
    for module in modules:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            raise click.ClickException(f"{error.name} is missing: {installing(extra, CHECKOUT)}") from error


def installing(extra: str, home: Path) -> str:
    """The command that installs an extra, in a checkout or where the package was installed by its name."""
    if not (home / "bin" / "_environment").is_file():
        return f"pip install 'hema-stream[{extra}]'"
    lock = " -c constraints.txt" if (home / "constraints.txt").is_file() else ""
    return f"cd {home} && .venv/bin/python -m pip install{lock} -e '.[{extra}]'"
