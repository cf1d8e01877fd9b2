"""overlay.png: the slide with every counted outline in its class's colour, a legend and a scale bar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hema_stages.readers import Reader
from hema_stages.sinks.lettering import BOLD, FAINT, INK, fitted, width, write
from hema_stages.sinks.outlines import draw_outlines
from hema_stages.sinks.palette import Style, legend, style_of
from hema_stream.core.errors import InputError
from hema_stream.core.result import TallyResult
from hema_stream.core.slide import ScaleSource

LONGEST, LEAST = 4096, 1600
STRIP = 512
WHITE = np.full(3, 255, np.uint8)
UNREADABLE = np.full(3, 200, np.uint8)
ALERT = (190, 20, 20)
SMALLEST_BLOCK = 64
NOT_ANALYSED = {"cancelled": "Not analysed", "gap": "Lost", "rejected": "Out of focus"}
"""How tiles with tissue may end without being analysed, as a person reads it."""


@dataclass(frozen=True)
class Layout:
    """Where things go on the canvas, in its pixels.

    Attributes:
        zoom: canvas pixels a level-0 pixel.
        width, height: of the slide on the canvas; the legend stands right of it.
        letter: height of a line of text.
    """

    zoom: float
    width: int
    height: int
    letter: int

    @classmethod
    def of(cls, across: int, down: int, longest: int) -> Layout:
        """Fit a slide of ``across`` by ``down`` pixels; small ones are enlarged so that lines and text are legible."""
        target = min(longest, max(across, down, LEAST))
        letter = min(max(target // 85, 15), 40)
        panel = cls.panel_of(letter)
        zoom = min(target / max(across, down), (longest - panel) / across, longest / down)
        return cls(zoom, max(round(across * zoom), 1), max(round(down * zoom), 1), letter)

    @staticmethod
    def panel_of(letter: int) -> int:
        """Width of the legend."""
        return 16 * letter

    @property
    def panel(self) -> int:
        """Width of the legend."""
        return self.panel_of(self.letter)

    @property
    def line(self) -> int:
        """Distance of two lines of text."""
        return round(1.6 * self.letter)


def draw_overlay(result: TallyResult, reader: Reader, longest: int = LONGEST) -> tuple[NDArray[np.uint8], int]:
    """Draw the picture, (H, W, 3) uint8 RGB, its longest side at most ``longest``: the slide, and beside it the legend.

    The slide is read a strip at a time at the picture's scale.

    Returns:
        The picture, and how many blocks of it could not be read and are grey.
    """
    slide, style = result.slide, style_of(result)
    layout = Layout.of(slide.width, slide.height, longest)
    sections = legend(style, result.naming)
    tall = min(max(layout.height, _legend_height(sections, layout)), longest)
    canvas = np.full((tall, layout.width + layout.panel, 3), 255, np.uint8)
    unread = sum(_paint(canvas, reader, layout, top) for top in range(0, layout.height, STRIP))
    microns = result.calibration.scale.mpp / layout.zoom
    picture = canvas[: layout.height, : layout.width]
    draw_outlines(picture, result.cells, style, layout.zoom, microns, result.naming)
    _scale_bar(canvas, layout, microns, result.calibration.scale.source)
    _legend(canvas, layout, result, sections)
    return canvas, unread


def _paint(canvas: NDArray[np.uint8], reader: Reader, layout: Layout, top: int) -> int:
    """Read one strip; where the file is damaged, the blocks that can be read. Returns the number of the others."""
    bottom = min(top + STRIP, layout.height)
    return _read(canvas, reader, layout, (0, top, layout.width, bottom))


def _read(canvas: NDArray[np.uint8], reader: Reader, layout: Layout, block: tuple[int, int, int, int]) -> int:
    left, top, right, bottom = block
    box = (left / layout.zoom, top / layout.zoom, right / layout.zoom, bottom / layout.zoom)
    try:
        canvas[top:bottom, left:right] = reader.read(box, (right - left, bottom - top), WHITE)
    except InputError:
        if max(right - left, bottom - top) <= SMALLEST_BLOCK:
            canvas[top:bottom, left:right] = UNREADABLE
            return 1
        x, y = (left + right) // 2, (top + bottom) // 2
        halves = (
            ((left, top, x, bottom), (x, top, right, bottom))
            if right - left >= bottom - top
            else ((left, top, right, y), (left, y, right, bottom))
        )
        return sum(_read(canvas, reader, layout, half) for half in halves)
    return 0


def _scale_bar(canvas: NDArray[np.uint8], layout: Layout, microns: float, source: ScaleSource) -> None:
    """Draw a bar of a round length, at most a sixth of the picture, on a white field in the lower left corner.

    Args:
        microns: a canvas pixel.
        source: where that comes from; told where it was not measured.
    """
    import cv2

    lengths = [m * 10**e for e in range(-1, 6) for m in (1, 2, 5)]
    length = max((v for v in lengths if v <= layout.width * microns / 6), default=lengths[0])
    text, letter = f"{length:g} µm" + ("" if source.measured else f" (scale {source})"), layout.letter
    bar, pad = max(round(length / microns), 1), letter // 2
    field = max(bar, width(text, letter)) + 2 * pad
    x, y = pad, layout.height - pad
    cv2.rectangle(canvas, (x, y - 2 * letter - pad), (x + field, y), (255, 255, 255), -1)
    write(canvas, text, (x + (field - width(text, letter)) // 2, y - letter), letter)
    left, middle, tick = x + (field - bar) // 2, y - pad, letter // 4
    cv2.line(canvas, (left, middle), (left + bar, middle), INK, max(letter // 7, 2))
    for end in (left, left + bar):
        cv2.line(canvas, (end, middle - tick), (end, middle + tick), INK, max(letter // 7, 2))


Sections = list[tuple[str, int, list[tuple[Style, int]]]]


def _legend_height(sections: Sections, layout: Layout) -> int:
    rows = sum(1.6 + len(entries) for _, _, entries in sections)
    return round((rows + 10 + len(NOT_ANALYSED)) * layout.line)


def _legend(canvas: NDArray[np.uint8], layout: Layout, result: TallyResult, sections: Sections) -> None:
    left, right = layout.width + layout.letter, layout.width + layout.panel - layout.letter
    letter, line = layout.letter, layout.line
    y = letter + line // 2
    write(canvas, fitted(result.slide.id, letter, right - left, BOLD), (left, y), letter, weight=BOLD)
    y += line
    write(canvas, f"{len(result.cells):,} cells", (left, y), letter, FAINT)
    for warning in _warnings(result):
        y += line
        write(canvas, fitted(warning, letter, right - left, BOLD), (left, y), letter, ALERT, BOLD)
    for heading, total, entries in sections:
        y += round(1.6 * line)
        _row(canvas, heading, total, (left, right, y), letter, BOLD)
        for style, count in entries:
            y += line
            _swatch(canvas, style, (left + letter // 2, y - letter // 3), letter)
            _row(canvas, style.title, count, (left, right, y), letter, indent=round(1.5 * letter))
    _notes(canvas, layout, left, y + 2 * line)


def _warnings(result: TallyResult) -> Iterator[str]:
    """Say what the picture does not show: an outline that is missing looks like a place without cells."""
    if result.status == "partial":
        yield "Analysis interrupted"
    tissue = sum(n for ending, n in result.tiles.items() if ending != "background")
    for ending, title in NOT_ANALYSED.items():
        if result.tiles.get(ending):
            yield f"{title}: {result.tiles[ending]:,} of {tissue:,} tiles"


def _row(
    canvas: NDArray[np.uint8],
    title: str,
    count: int,
    place: tuple[int, int, int],
    letter: int,
    weight: int = 400,
    indent: int = 0,
) -> None:
    """Write a title at the left and a count at the right."""
    left, right, y = place
    number = f"{count:,}"
    across = width(number, letter, weight)
    title = fitted(title, letter, right - left - indent - across - letter // 2, weight)
    write(canvas, title, (left + indent, y), letter, weight=weight)
    write(canvas, number, (right - across, y), letter, weight=weight)


def _swatch(canvas: NDArray[np.uint8], style: Style, centre: tuple[int, int], letter: int) -> None:
    """Draw a ring as the style's outlines are drawn."""
    import cv2

    radius, thin = (letter // 3, letter // 3), max(letter // 9, 2)
    arcs = [(a, a + 30) for a in range(0, 360, 60)] if style.dashed else [(0, 360)]
    for start, end in arcs:
        cv2.ellipse(
            canvas, centre, radius, 0, start, end, style.colour, 2 * thin if style.marked else thin, cv2.LINE_AA
        )


def _notes(canvas: NDArray[np.uint8], layout: Layout, left: int, y: int) -> None:
    small = max(round(0.8 * layout.letter), 12)
    for text in (
        "Thick: abnormal class",
        "Dashed: unknown, to be reviewed",
        "",
        "Decision support; review by",
        "a qualified person required.",
    ):
        if text:
            write(canvas, text, (left, y), small, FAINT)
        y += round(1.4 * small)
