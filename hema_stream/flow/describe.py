"""What ``inspect`` shows: stages in a line, and one with its properties, pads, placement and policy."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from hema_stream.flow.props import PropertySpec, specs
from hema_stream.flow.registry import Registry
from hema_stream.flow.stage import Pad, Stage


def list_stages(registry: Registry) -> Iterator[tuple[str, str]]:
    """Walk all stages with the first line of what each does."""
    for name in registry.names():
        yield name, (inspect.getdoc(registry.load(name)) or "").partition("\n")[0]


def describe(name: str, stage: type[Stage]) -> str:
    """Lay out one stage as text."""
    deadline = "none" if stage.deadline is None else f"{stage.deadline:g} s"
    parts = [
        f"{name}  ({stage.__module__}.{stage.__qualname__})",
        inspect.getdoc(stage) or "",
        "",
        f"runs on: {stage.runs_on}    on error: {stage.on_error}    deadline: {deadline}",
        "",
        "pads:",
        *(_pad("sink", pad, template) for pad, template in stage.sinks.items()),
        *(_pad("source", pad, template) for pad, template in stage.sources.items()),
        "",
        "properties:" if specs(stage) else "no properties",
        *(_property(spec) for spec in specs(stage).values()),
    ]
    return "\n".join(parts)


def _pad(direction: str, name: str, template: Pad) -> str:
    presence = "on request" if template.request else "always"
    return f"  {direction:7} {name:12} {presence:11} {template.caps!r}"


def _property(spec: PropertySpec) -> str:
    allowed = f", {spec.range}" if spec.range else ""
    unit = f" {spec.unit}" if spec.unit else ""
    head = f"  {spec.name.replace('_', '-'):20} {spec.type.__name__}{allowed}, default {spec.default}{unit}"
    return f"{head}\n{'':22} {spec.doc}"
