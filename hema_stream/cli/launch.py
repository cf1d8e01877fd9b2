"""``hema-stream launch``: run any pipeline from a line of text."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import click


@click.command("launch")
@click.argument("text", nargs=-1)
@click.option(
    "--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Read the text there."
)
@click.option("--profile", help="Profile whose properties are used.")
@click.option("--set", "settings", multiple=True, metavar="STAGE.PROP=VALUE", help="Set a stage's property.")
@click.option(
    "--graph",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the pipeline there each second, with how full its links are; DOT, or SVG where the name ends so.",
)
@click.option("--statistics", is_flag=True, help="Print figures of stages and links at the end.")
def command(
    text: tuple[str, ...],
    file: Path | None,
    profile: str | None,
    settings: tuple[str, ...],
    graph: Path | None,
    statistics: bool,
) -> None:
    """Run a pipeline such as 'fakesrc num-buffers=5 ! identity ! fakesink'.

    Exit code 0: done; 2: the text or a property is wrong; 4: a slide or the pipeline failed; 130: interrupted.
    """
    from hema_stream.core.profiles import load_properties, parse_setting
    from hema_stream.flow import FlowError, parse_launch
    from hema_stream.flow.launch import parse

    if bool(text) == bool(file):
        raise click.UsageError("give a text or --file")
    line = file.read_text(encoding="utf-8") if file else " ".join(text)
    try:
        names = [element.name for element in parse(line).elements]
        properties: dict[str, dict[str, Any]] = load_properties(profile, settings, names) if profile else {}
        if not profile:
            for stage, prop, value in map(parse_setting, settings):
                properties.setdefault(stage, {})[prop] = value
        pipeline = parse_launch(line, properties=properties)
        pipeline.topology.check()
    except FlowError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    sys.exit(asyncio.run(_run(pipeline, statistics, graph)))


async def _run(pipeline: Any, statistics: bool, graph: Path | None) -> int:
    interrupted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
    async with pipeline:
        reading = asyncio.create_task(_print_messages(pipeline))
        drawing = asyncio.create_task(_keep_drawn(pipeline, graph)) if graph else None
        draining = asyncio.create_task(pipeline.drain())
        waiting = asyncio.create_task(interrupted.wait())
        await asyncio.wait({draining, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if interrupted.is_set():
            pipeline.stop_sources()
            await pipeline.cancel_all()
        figures = pipeline.statistics()
        pipeline.bus.close()
        await reading
        failed = draining.done() and draining.exception() is not None
        draining.cancel()
        if drawing:
            drawing.cancel()
            await asyncio.gather(drawing, return_exceptions=True)
    if statistics:
        _print_statistics(figures)
    if interrupted.is_set():
        return 130
    return 4 if failed or any(outcome.status == "failed" for outcome in pipeline.outcomes.values()) else 0


async def _print_messages(pipeline: Any) -> None:
    from hema_stream.flow.bus import ErrorMessage, SlideEnded, WarningMessage

    async for message in pipeline.bus:
        if isinstance(message, SlideEnded):
            click.echo(f"{message.slide}: {message.outcome}")
        elif isinstance(message, ErrorMessage):
            click.echo(f"error: {message.error}", err=True)
        elif isinstance(message, WarningMessage):
            click.echo(f"warning: {message.stage}: {message.text}", err=True)


async def _keep_drawn(pipeline: Any, path: Path) -> None:
    """Draw the running pipeline each second, and as it is when this is cancelled; a reader sees whole files alone."""
    from hema_stream.flow.graph import to_dot
    from hema_stream.flow.svg import to_svg

    draw = to_svg if path.suffix == ".svg" else to_dot
    partial = path.with_name(f".{path.name}.part")
    try:
        while True:
            partial.write_text(draw(pipeline), encoding="utf-8")
            partial.replace(path)
            await asyncio.sleep(1.0)
    finally:
        partial.write_text(draw(pipeline), encoding="utf-8")
        partial.replace(path)


def _print_statistics(figures: Any) -> None:
    for name, stage in figures["stages"].items():
        fill = f", fill {stage.fill:.0%}" if stage.fill is not None else ""
        click.echo(
            f"{name:16} {stage.calls:8} calls {stage.busy_s:9.3f} s busy, p50 {stage.p50_s * 1e3:8.2f} ms, "
            f"p99 {stage.p99_s * 1e3:8.2f} ms{fill}"
        )
    for name, link in figures["links"].items():
        click.echo(
            f"{name:40} {link.buffers_out:8} buffers, high water {link.high_water}/{link.limit}, "
            f"blocked {link.blocked_s:.2f} s"
        )
