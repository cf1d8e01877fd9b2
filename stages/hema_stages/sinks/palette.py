"""How a finding looks: its class's colour, whether it is marked, whether it is dashed; and what a legend says of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.cells import Kind
from hema_stream.core.naming import Naming
from hema_stream.core.result import TallyResult
from hema_stream.core.taxonomy import Taxonomy

Colour = tuple[int, int, int]
HEADINGS = {Kind.WBC: "White cells", Kind.RBC: "Red cells", Kind.PLATELET: "Platelets"}


@dataclass(frozen=True)
class Style:
    """A way of drawing an outline.

    Attributes:
        name: stable identifier: the class's, or what takes its place.
        title: what a person reads.
        colour: (r, g, b).
        marked: drawn thick, for classes that are abnormal.
        dashed: for cells whose class is unknown.
    """

    kind: Kind
    name: str
    title: str
    colour: Colour
    marked: bool = False
    dashed: bool = False


PLATELET: Colour = (230, 160, 0)
GREY: Colour = (70, 70, 70)
DARK: Colour = (20, 20, 20)


def styles(naming: Naming | None = None) -> tuple[Style, ...]:
    """Every style, in the order of a legend; ``style_of`` gives positions in that of the result's naming."""
    naming = naming or Naming()
    return _styles(naming.taxonomy("wbc"), naming.taxonomy("rbc"))


@cache
def _styles(white: Taxonomy, red: Taxonomy) -> tuple[Style, ...]:
    listed: list[Style] = []
    for kind, taxonomy in ((Kind.WBC, white), (Kind.RBC, red)):
        listed += [Style(kind, c.name, c.title, c.colour, c.abnormal) for c in taxonomy.classes]
        listed += [
            Style(kind, "unknown", "Unknown", GREY, dashed=True),
            Style(kind, "unclassified", "Not classified", GREY),
            Style(kind, "clump", "Clump", DARK),
        ]
    return (
        *listed,
        Style(Kind.PLATELET, "platelet", "Platelet", PLATELET),
        Style(Kind.PLATELET, "clump", "Platelet clump", DARK),
    )


def style_of(result: TallyResult) -> NDArray[np.int16]:
    """(N,) position in ``styles(result.naming)`` of each counted cell."""
    place = {(style.kind, style.name): position for position, style in enumerate(styles(result.naming))}
    kind = result.cells.kind
    out = np.full(len(kind), place[Kind.PLATELET, "platelet"], np.int16)
    for own, stream in ((Kind.WBC, "wbc"), (Kind.RBC, "rbc")):
        of_class = np.array([place[own, name] for name in result.taxonomy(stream).names], np.int16)
        rows = kind == own
        out[rows] = place[own, "unclassified"]
        named = rows & (result.best >= 0)
        out[named] = of_class[result.best[named]]
        out[rows & result.unknown] = place[own, "unknown"]
    for own in Kind:
        out[(kind == own) & ~result.single] = place[own, "clump"]
    return out


def legend(style: NDArray[np.int16], naming: Naming | None = None) -> list[tuple[str, int, list[tuple[Style, int]]]]:
    """Sections of a legend: heading, findings, and the styles that occur, the most frequent first.

    Args:
        style: (N,) as ``style_of`` returns.
        naming: the result's.
    """
    listed = styles(naming)
    counts = np.bincount(style, minlength=len(listed)).tolist()
    sections = []
    for kind, heading in HEADINGS.items():
        rows = [(entry, count) for entry, count in zip(listed, counts, strict=True) if entry.kind is kind and count]
        classes = sorted((row for row in rows if _is_class(row[0])), key=lambda row: -row[1])
        rest = [row for row in rows if not _is_class(row[0])]
        sections.append((heading, sum(count for _, count in rows), classes + rest))
    return sections


def _is_class(style: Style) -> bool:
    return style.name not in ("unknown", "unclassified", "clump")
