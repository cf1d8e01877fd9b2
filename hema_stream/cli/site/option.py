"""The option of every command whose answers a site may correct."""

from __future__ import annotations

import click

site_option = click.option(
    "--site", metavar="NAME", help="Site whose version in use corrects the answers, or a profile's file; default none."
)
