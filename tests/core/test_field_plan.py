"""The plan of a scan's tiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hema_stream.core.field import Grid
from hema_stream.core.field_plan import FieldPlan
from hema_stream.core.slide import Scale, ScaleSource


def plan(columns: int, rows: int, field: tuple[int, int], step: tuple[float, float], snake: bool = False) -> FieldPlan:
    width = round((columns - 1) * step[0] + field[0])
    height = round((rows - 1) * step[1] + field[1])
    return FieldPlan(width, height, Scale(0.25, ScaleSource.GIVEN), field, Grid(columns, rows, *step, snake))


PLANS = st.builds(
    plan,
    st.integers(1, 4),
    st.integers(1, 4),
    st.tuples(st.integers(300, 2500), st.integers(300, 2500)),
    st.tuples(st.integers(200, 2400), st.integers(200, 2400)).map(lambda s: (float(s[0]), float(s[1]))),
    st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(made=PLANS, data=st.data())
def test_each_place_that_a_field_shows_has_one_owner(made: FieldPlan, data: st.DataObject) -> None:
    tile = data.draw(st.integers(0, len(made) - 1))
    x0, y0, x1, y1 = made.spec(tile).view
    x = data.draw(st.floats(x0, x1, exclude_max=True)) + 1e-4
    y = data.draw(st.floats(y0, y1, exclude_max=True)) + 1e-4
    seen = [s for s in made if s.view[0] <= x < s.view[2] and s.view[1] <= y < s.view[3]]
    owners = [s for s in made if s.core[0] <= x < s.core[2] and s.core[1] <= y < s.core[3]]
    assert len(owners) == (1 if seen else 0)
    assert all(owner in seen for owner in owners)


@settings(max_examples=60, deadline=None)
@given(made=PLANS, data=st.data())
def test_the_tiles_that_meet_a_box_are_found(made: FieldPlan, data: st.DataObject) -> None:
    x, y = data.draw(st.floats(0, made.width)), data.draw(st.floats(0, made.height))
    box = (x, y, x + data.draw(st.floats(1, 600)), y + data.draw(st.floats(1, 600)))
    boxes = np.array([made.box(tile) for tile in range(len(made))])
    meets = (boxes[:, 0] <= box[2]) & (boxes[:, 2] >= box[0]) & (boxes[:, 1] <= box[3]) & (boxes[:, 3] >= box[1])
    assert sorted(made.tiles_overlapping(box)) == np.flatnonzero(meets).tolist()


def test_a_snake_runs_back_in_every_second_row() -> None:
    grid = Grid(3, 2, 1.0, 1.0, snake=True)
    assert [grid.cell(index) for index in range(6)] == [(0, 0), (1, 0), (2, 0), (2, 1), (1, 1), (0, 1)]
    assert [grid.index(*grid.cell(index)) for index in range(6)] == list(range(6))


def test_without_a_grid_nobody_owns_and_every_edge_may_cut() -> None:
    free = FieldPlan(5000, 5000, Scale(0.25, ScaleSource.GIVEN), (400, 300))
    assert (free.complete, len(free), free.tiles_overlapping((0, 0, 9, 9))) == (False, 0, [])
    spec = free.spec_at(7, 0, (1000.0, 2000.0))
    assert (spec.index, spec.view, spec.inner) == (7, (1000.0, 2000.0, 1400.0, 2300.0), (True,) * 4)
    assert spec.core[0] == spec.core[2]
    with pytest.raises(ValueError, match="without a grid"):
        free.spec(0)
