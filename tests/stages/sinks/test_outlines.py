"""Where outlines are drawn, and how."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hema_stages.sinks.outlines import DASHES, Outlines, draw_outlines
from hema_stages.sinks.palette import style_of
from smear import result_of, table

from hema_stream.core.cells import CellTable, Kind
from hema_stream.core.slide import Scale, ScaleSource

SCALE = Scale(0.125, ScaleSource.METADATA)


def ring(centre: tuple[float, float] = (50.0, 60.0), corners: int = 36) -> CellTable:
    return table([Kind.RBC], np.array([centre]), SCALE, np.array([3.75]), corners)


@pytest.mark.parametrize("zoom", [0.5, 1.0, 4.0])
def test_points_lie_where_the_cell_lies(zoom: float) -> None:
    outlines = Outlines.of(ring(), zoom)
    away = np.hypot(*(outlines.points / zoom - (50, 60)).T)
    assert np.abs(away - 30).max() < 0.6  # 3.75 um at 0.125 um a pixel


def test_thinning_keeps_the_shape_and_few_points() -> None:
    cells = CellTable.concatenate([ring((50, 60), 200), ring((150, 60), 12), ring((20, 20), 3)])
    outlines = Outlines.of(cells, 0.25)
    counts = np.diff(outlines.starts)
    assert counts[0] < 30
    assert (counts[1:] <= [12, 3]).all()
    assert counts[2] == 3
    assert np.allclose(outlines.points[outlines.starts[:-1]], [[20, 15], [45, 15], [12.5, 5]], atol=0.1)


def test_stairs_are_smoothed_and_long_edges_stay() -> None:
    stairs = [[x, x // 2 * 2] for x in range(0, 40, 2)]  # 2-pixel steps, in canonical pixels
    shape = np.array([*stairs, [38, 200], [0, 200]]) * 8
    cells = replace(ring(), vertices=shape.astype(np.int16), starts=np.array([0, len(shape)], np.int64))
    points = Outlines.of(replace(cells, boxes=np.zeros((1, 4))), 4.0).points / (4.0 * 2.0)
    assert np.abs(points[-2:] - [[38, 200], [0, 200]]).max() < 1e-9
    assert np.abs(points[-3] - [38, 38]).max() < 1e-9


def test_dashes_cover_half_of_the_way() -> None:
    outlines = Outlines.of(ring(), 2.0)
    pieces = outlines.dashes()
    assert len(pieces) == DASHES
    inked = np.hypot(*np.diff(pieces, axis=1).reshape(-1, 2).T).sum()
    closed = np.append(outlines.points, outlines.points[:1], axis=0)
    assert inked == pytest.approx(np.hypot(*np.diff(closed, axis=0).T).sum() / 2, rel=0.01)


def drawn(name: str | None, *, unknown: bool = False) -> np.ndarray:
    result = result_of([(Kind.RBC, name)], radii_um=np.array([7.5]))
    result = replace(result, unknown=np.array([unknown]))
    canvas = np.full((200, 200, 3), 200, np.uint8)
    draw_outlines(canvas, result.cells, style_of(result), 1.0, 0.1)
    return canvas


def test_an_abnormal_cell_is_thicker_with_a_white_halo() -> None:
    normal, abnormal = drawn("normal"), drawn("target")
    assert not (normal > 210).all(axis=2).any()
    assert (abnormal > 235).all(axis=2).sum() > 100
    assert (abnormal != 200).any(axis=2).sum() > 1.5 * (normal != 200).any(axis=2).sum()


def test_an_unknown_cell_is_dashed_white_and_grey() -> None:
    canvas = drawn("target", unknown=True)
    inked = (canvas != 200).any(axis=2)
    bright = (canvas[inked] > 210).all(axis=1).mean()
    assert 0.25 < bright < 0.75
    assert np.ptp(canvas[inked].astype(int), axis=1).max() == 0  # grey, no class's colour


def test_nothing_to_draw() -> None:
    canvas = np.zeros((5, 5, 3), np.uint8)
    result = result_of([])
    draw_outlines(canvas, result.cells, style_of(result), 1.0, 0.1)
    assert not canvas.any()
