"""A pipeline drawn: DOT with live queue depths, and SVG of it."""

from __future__ import annotations

import shutil
import subprocess

from hema_stream.flow.errors import PipelineError
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


def to_svg(dot: str) -> str:
    """Lay a DOT text out with Graphviz; PipelineError says how to get it where it is missing."""
    program = shutil.which("dot")
    if program is None:
        raise PipelineError("drawing SVG needs Graphviz' program 'dot': apt-get install graphviz")
    done = subprocess.run([program, "-Tsvg"], input=dot, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise PipelineError(f"Graphviz could not draw it: {done.stderr.strip()}")
    return done.stdout
