"""``hema-stream site new, use, list, export, import, remove``: keeping profiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hema_stream.cli.site.words import standing

if TYPE_CHECKING:
    from hema_models.site.store import SiteStore

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("new")
@click.argument("name")
def new(name: str) -> None:
    """Make a site: a laboratory with its microscope and its stain."""
    _store().create(name)
    click.echo(f"{name}: made; teach it with: hema-stream site learn {name} --stream wbc --labels CSV")


@click.command("use")
@click.argument("name")
@click.option("--version", type=click.IntRange(min=0), help="Which one; the newest where none is given.")
@click.option("--off", is_flag=True, help="Switch the site off; its versions stay.")
def use(name: str, version: int | None, off: bool) -> None:
    """Switch a version on: ``--site NAME`` of other commands then takes it."""
    if off and version is not None:
        raise click.UsageError("--off and --version do not go together")
    store = _store()
    if off:
        store.use(name, None)
        click.echo(f"{name}: off")
        return
    profile = store.load(name, version)
    store.use(name, profile.version)
    click.echo(f"{name}: version {profile.version} is in use, identity {profile.identity[:16]}")
    for line in standing(profile):
        click.echo(f"  {line}")


@click.command("list")
def show() -> None:
    """List sites, their versions, and which one is in use."""
    store = _store()
    for name, versions, in_use in store.every():
        newest = store.load(name)
        used = f"version {in_use} in use" if in_use is not None else "off"
        click.echo(f"{name}: versions {', '.join(map(str, versions))}; {used}; newest:")
        for line in standing(newest):
            click.echo(f"  {line}")


@click.command("export")
@click.argument("name")
@click.argument("file", type=FILE)
@click.option("--version", type=click.IntRange(min=0), help="Which one; the newest where none is given.")
def export(name: str, file: Path, version: int | None) -> None:
    """Copy a version to FILE, which ``site import`` and ``--site`` take."""
    profile = _store().export(name, file, version)
    click.echo(f"{file}: {name} version {profile.version}, {file.stat().st_size:,} bytes")


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="What it is called here; its own name where none is given.")
def take(file: Path, name: str | None) -> None:
    """Take FILE in as a site; it is not switched on."""
    profile = _store().take(file, name)
    click.echo(f"{profile.name}: version {profile.version} taken in; hema-stream site use {profile.name}")


@click.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Remove a site with all its versions."""
    _store().remove(name)
    click.echo(f"{name}: removed")


def _store() -> SiteStore:
    from hema_models.site.store import SiteStore

    return SiteStore()
