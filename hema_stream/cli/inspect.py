"""``hema-stream inspect``: the stages there are, and what each takes."""

from __future__ import annotations

import click


@click.command("inspect")
@click.argument("stage", required=False)
def command(stage: str | None) -> None:
    """List the stages, or show one: properties, pads, placement, policy."""
    from hema_stream.flow.describe import describe, list_stages
    from hema_stream.flow.registry import Registry

    registry = Registry()
    if stage is None:
        for name, line in list_stages(registry):
            click.echo(f"{name:12} {line}")
    else:
        click.echo(describe(stage, registry.load(stage)))
