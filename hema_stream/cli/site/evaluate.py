"""``hema-stream site evaluate``: whether a site's head is better than the network alone, by cells left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from hema_stream.cli.site.words import standing, table

if TYPE_CHECKING:
    from hema_models.site.profile import StreamProfile


@click.command("evaluate")
@click.argument("name")
@click.option("--stream", type=click.Choice(["rbc", "wbc"]), help="Only this classifier.")
@click.option("--version", type=click.IntRange(min=0), help="Which one; the newest where none is given.")
def command(name: str, stream: str | None, version: int | None) -> None:
    """Show, by class, how the named cells fare with the network alone and with the head, each cell left out in turn."""
    from hema_models.site.store import SiteStore

    from hema_stream.core.errors import ConfigError

    profile = SiteStore().load(name, version)
    chosen = {key: part for key, part in sorted(profile.streams.items()) if stream in (None, key)}
    if not chosen:
        remedy = f"hema-stream site learn {name} --stream {stream or 'wbc'} --labels CSV"
        raise ConfigError("has learnt nothing yet", place=f"{name}, version {profile.version}", remedy=remedy)
    click.echo(f"{name}: version {profile.version}, identity {profile.identity[:16]}")
    for line in standing(profile):
        click.echo(f"  {line}")
    for key, part in chosen.items():
        for line in table(key, part.judgement) if part.judgement is not None else ():
            click.echo(line)
        for line in _slides(key, part):
            click.echo(line)


def _slides(stream: str, part: StreamProfile) -> Iterator[str]:
    """How far the site's own slides lie from it; another laboratory's lie farther."""
    from hema_models.site.statistics import distances

    if len(part.slides) > 1:
        own = distances(part.slides)
        far = f"{stream}: its own {len(own)} slides lie {min(own):.2f} to {max(own):.2f} deviations from the others"
        yield f"{far}; a slide beyond {part.limit:.2f} is taken to be of another laboratory"
