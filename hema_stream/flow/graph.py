"""A pipeline in Graphviz' language, with live queue depths; ``svg.py`` draws it."""

from __future__ import annotations

from hema_stream.flow.pipeline import Pipeline


def to_dot(pipeline: Pipeline) -> str:
    """Write stages, links, their caps and how full each link is, in Graphviz' language."""
    depths = pipeline.statistics()["links"]
    lines = ["digraph pipeline {", "  rankdir=LR; node [shape=box, style=rounded, fontname=Helvetica];"]
    for name, stage in pipeline.topology.stages.items():
        lines.append(f'  "{name}" [label="{name}\\n{type(stage).__name__}\\n{stage.runs_on}"];')
    for link in pipeline.topology.links:
        figures = depths.get(str(link))
        depth = f"\\n{figures.depth}/{figures.limit}, high {figures.high_water}" if figures else ""
        pads = f"{link.source_pad} > {link.sink_pad}"
        lines.append(f'  "{link.source}" -> "{link.sink}" [label="{pads}\\n{link.caps.media}{depth}", fontsize=9];')
    return "\n".join([*lines, "}"])
