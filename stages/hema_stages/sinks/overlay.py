"""overlay.png: the slide with every counted outline in its class's colour, a legend and a scale bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stages.readers import Reader
from hema_stages.sinks.artefact import artefact
from hema_stream.clinical.compose import colours, legend
from hema_stream.core.result import TallyResult
from hema_stream.core.taxonomy import load_taxonomy

LONGEST, LEAST = 4096, 1600
STRIP = 512
PANEL, MARGIN, LINE = 380, 20, 30
INK = (40, 40, 40)
WHITE = np.full(3, 255, np.uint8)
FONT_SCALE = 0.6


def write_overlay(path: Path, result: TallyResult, reader: Reader, longest: int = LONGEST) -> None:
    """Draw and write the picture; its longest side is at most ``longest`` pixels, small fields are enlarged."""
    import cv2

    picture = draw_overlay(result, reader, longest)
    settings = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    settings += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB]  # half the time of the default, size alike
    _, encoded = cv2.imencode(".png", picture[..., ::-1], settings)
    with artefact(path) as handle:
        handle.write(encoded.data)


def draw_overlay(result: TallyResult, reader: Reader, longest: int = LONGEST) -> NDArray[np.uint8]:
    """Draw the picture, (H, W, 3) uint8 RGB: the slide, and beside it the legend."""
    slide = result.slide
    side = max(slide.width, slide.height)
    zoom = min(longest - PANEL, max(side, LEAST)) / side
    width, height = max(round(slide.width * zoom), 1), max(round(slide.height * zoom), 1)
    picture = np.full((max(height, 620), width + PANEL, 3), 255, np.uint8)
    for top in range(0, height, STRIP):
        bottom = min(top + STRIP, height)
        box = (0.0, top / zoom, float(slide.width), bottom / zoom)
        picture[top:bottom, :width] = reader.read(box, (width, bottom - top), WHITE)
    canvas = np.ascontiguousarray(picture)
    _outlines(canvas, result, zoom)
    _scale_bar(canvas, result, zoom, height)
    _legend(canvas, result, width)
    return canvas


def _outlines(canvas: NDArray[np.uint8], result: TallyResult, zoom: float) -> None:
    """Draw the outlines class by class; abnormal ones twice as thick, on a white halo."""
    import cv2

    cells = result.cells
    paint = colours(cells, result.best, result.unknown)
    abnormal = _abnormal(result)
    lengths = np.diff(cells.starts)
    corners = np.repeat(cells.boxes[:, :2], lengths, axis=0)
    points = (corners + cells.vertices * (0.125 * cells.scale)) * zoom
    fixed = np.round(points * 8).astype(np.int32)
    outlines = np.split(fixed, cells.starts[1:-1]) if len(cells) else []
    thin = 1 if zoom < 1 else 2
    for marked in (False, True):
        groups: dict[tuple[int, ...], list[NDArray[np.int32]]] = {}
        for row in np.flatnonzero(abnormal == marked):
            groups.setdefault(tuple(int(v) for v in paint[row]), []).append(outlines[row])
        for colour, group in groups.items():
            if marked:
                cv2.polylines(canvas, group, True, (255, 255, 255), 2 * thin + 3, cv2.LINE_AA, 3)
            cv2.polylines(canvas, group, True, colour, 2 * thin if marked else thin, cv2.LINE_AA, 3)


def _abnormal(result: TallyResult) -> NDArray[np.bool_]:
    out = np.zeros(len(result.cells), bool)
    for kind, stream in enumerate(("rbc", "wbc")):
        flags = np.array([c.abnormal for c in load_taxonomy(stream).classes])
        rows = (result.cells.kind == kind) & (result.best >= 0) & ~result.unknown
        out[rows] = flags[result.best[rows]]
    return out


def _scale_bar(canvas: NDArray[np.uint8], result: TallyResult, zoom: float, height: int) -> None:
    """Draw a bar of a round length of about a sixth of the picture."""
    import cv2

    mpp = result.calibration.scale.mpp / zoom
    wanted = (canvas.shape[1] - PANEL) * mpp / 6
    lengths = [m * 10**e for e in range(-1, 6) for m in (1, 2, 5)]
    microns = max((length for length in lengths if length <= wanted), default=lengths[0])
    x, y = MARGIN, height - MARGIN
    end = x + round(microns / mpp)
    cv2.rectangle(canvas, (x - 8, y - 38), (max(end, x + 90) + 8, y + 10), (255, 255, 255), -1)
    cv2.line(canvas, (x, y), (end, y), INK, 4)
    text = f"{microns:g} um" + ("" if result.calibration.scale.source.measured else " (est.)")
    _write(canvas, text, x, y - 12)


def _legend(canvas: NDArray[np.uint8], result: TallyResult, left: int) -> None:
    import cv2

    x, y = left + MARGIN, MARGIN + 12
    counts = result.counts
    for line in (
        f"{counts.get('cells', 0):,} cells",
        f"{counts.get('rbc', 0):,} red   {counts.get('wbc', 0):,} white   {counts.get('platelet', 0):,} platelets",
    ):
        _write(canvas, line, x, y)
        y += LINE
    y += LINE // 2
    for title, colour, abnormal, count in legend(counts):
        thickness = 4 if abnormal else 2
        cv2.circle(canvas, (x + 10, y - 6), 9, colour, thickness, cv2.LINE_AA)
        _write(canvas, title, x + 34, y)
        _write(canvas, f"{count:,}", left + PANEL - MARGIN - 80, y)
        y += LINE
    for line in ("thick: abnormal   grey: unknown", "Decision support; review by a", "qualified person required."):
        y += LINE - 6
        _write(canvas, line, x, y, 0.5)


def _write(canvas: NDArray[np.uint8], text: str, x: int, y: int, scale: float = FONT_SCALE) -> Any:
    import cv2

    return cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 1, cv2.LINE_AA)
