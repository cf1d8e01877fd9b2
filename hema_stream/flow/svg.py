"""A pipeline drawn as SVG, without any program beside: stages in columns by their distance from the sources."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from hema_stream.flow.pipeline import Pipeline

WIDTH, HEIGHT = 150, 54
ACROSS, DOWN, EDGE = 270, 96, 20


class _Place(NamedTuple):
    x: int
    y: int


def to_svg(pipeline: Pipeline) -> str:
    """Draw stages, links, their caps and how full each link is."""
    places = _lay_out(pipeline)
    wide = max((place.x for place in places.values()), default=0) + WIDTH + EDGE
    tall = max((place.y for place in places.values()), default=0) + HEIGHT + EDGE
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}" width="{wide}" height="{tall}" '
    return "\n".join(
        [
            f'{head}font-family="Helvetica, Arial, sans-serif" text-anchor="middle">',
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            '<path d="M0 0L8 4L0 8z"/></marker></defs>',
            *_links(pipeline, places),
            *(_stage(pipeline, name, place) for name, place in places.items()),
            "</svg>",
            "",
        ]
    )


def _lay_out(pipeline: Pipeline) -> dict[str, _Place]:
    """Place each stage one column behind the farthest of those that feed it; columns are centred."""
    columns: dict[str, int] = {}
    for name in pipeline.topology.order():
        feeding = [columns[link.source] for link in pipeline.topology.links if link.sink == name]
        columns[name] = max(feeding, default=-1) + 1
    ranks: dict[int, list[str]] = {}
    for name, column in columns.items():
        ranks.setdefault(column, []).append(name)
    tallest = max(map(len, ranks.values()), default=0)
    return {
        name: _Place(EDGE + column * ACROSS, EDGE + round((row + (tallest - len(names)) / 2) * DOWN))
        for column, names in ranks.items()
        for row, name in enumerate(names)
    }


def _stage(pipeline: Pipeline, name: str, place: _Place) -> str:
    stage, middle = pipeline.topology.stages[name], place.x + WIDTH // 2
    box = f'<rect x="{place.x}" y="{place.y}" width="{WIDTH}" height="{HEIGHT}" rx="8" fill="white" stroke="black"/>'
    lines = ((18, 13, name), (33, 10, type(stage).__name__), (46, 10, str(stage.runs_on)))
    return box + "".join(
        f'<text x="{middle}" y="{place.y + down}" font-size="{size}">{escape(text)}</text>'
        for down, size, text in lines
    )


def _links(pipeline: Pipeline, places: dict[str, _Place]) -> list[str]:
    depths, drawn = pipeline.statistics()["links"], []
    for link in pipeline.topology.links:
        a, b = places[link.source], places[link.sink]
        x0, y0, x1, y1 = a.x + WIDTH, a.y + HEIGHT // 2, b.x, b.y + HEIGHT // 2
        bend, middle, height = (x1 - x0) // 2, (x0 + x1) // 2, (y0 + y1) // 2
        figures = depths.get(str(link))
        depth = f"{figures.depth}/{figures.limit}, high {figures.high_water}" if figures else ""
        drawn.append(
            f'<path d="M{x0} {y0}C{x0 + bend} {y0} {x1 - bend} {y1} {x1} {y1}" fill="none" stroke="grey" '
            'marker-end="url(#tip)"/>'
        )
        texts = ((-14, f"{link.source_pad} > {link.sink_pad}"), (-4, link.caps.media), (12, depth))
        drawn += [
            f'<text x="{middle}" y="{height + down}" font-size="9">{escape(text)}</text>'
            for down, text in texts
            if text
        ]
    return drawn
