"""``hema-stream graph``: draw a pipeline."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("graph")
@click.argument("text", required=False)
@click.option(
    "--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Read the text there."
)
@click.option("--format", "kind", type=click.Choice(["dot", "svg"]), default="dot", show_default=True)
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="File; else standard output.")
def command(text: str | None, file: Path | None, kind: str, out: Path | None) -> None:
    """Draw the pipeline of a launch text as DOT or SVG; the smear pipeline where none is given."""
    from hema_stream.core.configs import config_root
    from hema_stream.flow import parse_launch
    from hema_stream.flow.graph import to_dot
    from hema_stream.flow.svg import to_svg

    if text is None:
        text = (file or config_root() / "pipelines" / "smear.launch").read_text(encoding="utf-8")
    pipeline = parse_launch(text)
    drawn = to_svg(pipeline) if kind == "svg" else to_dot(pipeline)
    if out:
        out.write_text(drawn, encoding="utf-8")
    else:
        click.echo(drawn)
