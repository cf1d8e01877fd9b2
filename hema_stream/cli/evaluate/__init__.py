"""``hema-stream evaluate``: score the product's own stages on labelled pictures."""

from __future__ import annotations

import click

from hema_stream.cli.lazy import LazyGroup

command = LazyGroup(
    "evaluate",
    help="Score the product's own stages on labelled pictures.",
    commands={name: f"hema_stream.cli.evaluate.{name}:command" for name in ("detect", "classify", "points")},
)

__all__ = ["click", "command"]
