"""A click group whose commands are imported when they are called, so that --help stays quick."""

from __future__ import annotations

from importlib import import_module

import click


class LazyGroup(click.Group):
    """Commands by name as ``module:attribute``, with the one-line help that the list shows."""

    def __init__(self, name: str, *, help: str, commands: dict[str, str], short: dict[str, str] | None = None) -> None:
        super().__init__(name, help=help)
        self._lazy, self._short = commands, short or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all commands, in order."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one command."""
        if name not in self._lazy:
            return None
        module, _, attribute = self._lazy[name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._short.get(name, "")) for name in self._lazy])
