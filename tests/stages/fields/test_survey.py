"""The survey called by itself: what it holds, measures, cuts and says, in whatever order fields come."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from hema_stages.aggregate.sealed import SealedRegions
from hema_stages.fields.survey import Survey
from hypothesis import given, settings
from hypothesis import strategies as st

from hema_stream.core.field import FieldsPassed, Grid, Scan, Shot, TilesPassed
from hema_stream.core.tile import Tile
from hema_stream.flow import Caps, Gap

MPP, SIDE, STEP = 0.25, 256, 200
COLUMNS, ROWS = 3, 2


def drawn_scene() -> np.ndarray:
    """Cells of two colours on a light ground, the same each time."""
    drawn = np.random.default_rng(3)
    picture = np.full((SIDE + STEP * ROWS, SIDE + STEP * COLUMNS, 3), (228, 222, 232), np.uint8)
    for _ in range(160):
        centre = tuple(int(v) for v in drawn.integers(10, [picture.shape[1] - 10, picture.shape[0] - 10]))
        cv2.circle(picture, centre, int(drawn.integers(9, 15)), (200, 140, 165), -1, cv2.LINE_AA)
        cv2.circle(picture, centre, 4, (120, 80, 160), -1, cv2.LINE_AA)
    return picture


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return drawn_scene()


def shot(scene: np.ndarray, index: int, grid: Grid, tissue: float = 0.4) -> Shot:
    column, row = grid.cell(index)
    x, y = column * STEP, row * STEP
    pixels = np.ascontiguousarray(scene[y : y + SIDE, x : x + SIDE])
    return Shot(index, x * MPP, y * MPP, pixels, np.array([228, 222, 232], np.uint8), tissue)


GRID = Grid(COLUMNS, ROWS, STEP * MPP, STEP * MPP)
WIDE = Scan(SIDE, SIDE, MPP, None, (0.0, 0.0), GRID, fitted=2, window=9)
SCAN = Scan(SIDE, SIDE, MPP, None, (0.0, 0.0), GRID, fitted=2, window=5)


class Surveyed:
    """A survey under way and what came of it."""

    def __init__(self, scan: Scan = SCAN) -> None:
        self.taken: list[tuple[int, str]] = []
        self.stage = Survey("survey")
        self.stage.taken = lambda slide, index, verdict: self.taken.append((index, verdict))
        _, self.state = self.stage.negotiate_pad("sink", Caps("image/shot", slide_id="s", scan=scan), None)
        self.out: list[Any] = []

    def come(self, item: Shot | Gap) -> None:
        given = self.stage.gap(item, self.state) if isinstance(item, Gap) else self.stage.process(item, self.state)
        self.out.extend(given)

    def finish(self) -> None:
        self.out.extend(self.stage.finish(self.state))

    def tiles(self) -> dict[int, Tile]:
        return {item.spec.index: item for item in self.out if isinstance(item, Tile)}

    def gaps(self) -> dict[int, tuple[str, str]]:
        return {unit: (gap.outcome, gap.reason) for gap in self.out if isinstance(gap, Gap) for unit in gap.units}

    @property
    def caps(self) -> Caps:
        (caps,) = (item for item in self.out if isinstance(item, Caps))
        return caps

    @property
    def acquisition(self) -> Any:
        return next(gap.acquisition for gap in self.out if isinstance(gap, TilesPassed) and gap.acquisition)


def test_fields_wait_until_the_lowest_are_there_and_then_leave_with_their_credits(scene: np.ndarray) -> None:
    survey = Surveyed()
    survey.come(shot(scene, 2, GRID))
    survey.come(shot(scene, 1, GRID))
    assert (survey.out, survey.taken) == ([], [])
    survey.come(shot(scene, 0, GRID))
    assert survey.taken == [(0, "analysed"), (1, "analysed"), (2, "analysed")]
    assert (survey.caps.slide.width, survey.caps.slide.height) == (2 * STEP + SIDE, STEP + SIDE)
    assert survey.caps.calibration.stain.method == "macenko"
    tile = survey.tiles()[1]
    assert tile.spec.view == (STEP, 0.0, STEP + SIDE, float(SIDE))
    assert (tile.pixels[:SIDE, :SIDE] == scene[:SIDE, STEP : STEP + SIDE]).all()
    assert (tile.pixels[SIDE:] == survey.caps.calibration.background).all()


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(6)), lost=st.sets(st.integers(0, 5), max_size=3))
def test_the_order_of_arrival_changes_nothing(order: list[int], lost: set[int]) -> None:
    picture = drawn_scene()
    straight, mixed = Surveyed(WIDE), Surveyed(WIDE)
    for survey, arrivals in ((straight, range(6)), (mixed, order)):
        for index in arrivals:
            if index not in lost:
                survey.come(shot(picture, index, GRID))
        survey.finish()
    assert straight.acquisition == mixed.acquisition
    assert straight.acquisition.missing == tuple(sorted(lost))
    if len(lost) < 6:
        assert straight.caps.calibration.focus_threshold == mixed.caps.calibration.focus_threshold
        a, b = straight.tiles(), mixed.tiles()
        assert a.keys() == b.keys()
        assert straight.gaps() == mixed.gaps()
        assert all((a[index].pixels == b[index].pixels).all() for index in a)
        pairs = {(i, j): o for i, tile in a.items() for j, o in tile.offsets.items()}
        others = {(i, j): o for i, tile in b.items() for j, o in tile.offsets.items()}
        for (i, j), offset in pairs.items():
            back = others.get((j, i))
            assert others.get((i, j), back and (-back[0], -back[1])) == offset


def test_background_and_unreadable_fields_let_their_room_go_at_once_and_are_replaced(scene: np.ndarray) -> None:
    survey = Surveyed()
    survey.come(shot(scene, 0, GRID, tissue=0.01))
    survey.come(Gap((1,), "unreadable"))
    assert survey.taken == [(0, "background"), (1, "unreadable")]
    survey.come(shot(scene, 2, GRID))
    survey.come(shot(scene, 3, GRID))
    survey.finish()
    assert survey.acquisition.fitted == (2, 3)
    assert survey.gaps() == {
        0: ("background", "under 5% tissue"),
        1: ("gap", "unreadable"),
        4: ("gap", "not received"),
        5: ("gap", "not received"),
    }
    assert (survey.acquisition.unreadable, survey.acquisition.missing) == ((1,), (4, 5))


def test_a_full_window_is_measured_on_what_there_is_and_warns(scene: np.ndarray) -> None:
    survey = Surveyed()
    for index in (5, 4, 3, 2, 1):
        survey.come(shot(scene, index, GRID))
    assert "calibration_unsettled" in survey.caps.calibration.warnings
    assert survey.state.choice.fields == (1, 2)


def test_what_a_watermark_has_passed_is_a_gap_in_its_place(scene: np.ndarray) -> None:
    survey = Surveyed()
    for index in (0, 2):
        survey.come(shot(scene, index, GRID))
    survey.come(FieldsPassed((), "watermark", through=3))
    assert survey.gaps() == {1: ("gap", "not received"), 3: ("gap", "not received")}
    survey.come(shot(scene, 4, GRID))
    survey.finish()
    assert survey.acquisition.missing == (1, 3, 5)


def test_a_scan_that_was_closed_early_has_fields_that_were_not_taken(scene: np.ndarray) -> None:
    survey = Surveyed()
    for index in (0, 1):
        survey.come(shot(scene, index, GRID))
    survey.come(FieldsPassed((), "close", through=-1, taken=3))
    survey.finish()
    assert (survey.acquisition.missing, survey.acquisition.untaken) == ((2,), (3, 4, 5))
    assert survey.gaps()[5] == ("cancelled", "not taken")


def test_a_scan_of_which_nothing_came_still_ends() -> None:
    survey = Surveyed()
    survey.finish()
    assert survey.caps.calibration.stain.reason == "too little tissue"
    assert len(survey.gaps()) == 6


def test_a_field_out_of_focus_is_rejected_by_the_frozen_threshold(scene: np.ndarray) -> None:
    survey = Surveyed()
    for index in (0, 1):
        survey.come(shot(scene, index, GRID))
    sharp = shot(scene, 2, GRID)
    blurred = cv2.GaussianBlur(sharp.pixels, (0, 0), 8)
    survey.come(Shot(2, sharp.x, sharp.y, blurred, sharp.ground, sharp.tissue))
    assert survey.gaps() == {2: ("rejected", "low_quality")}
    assert survey.taken[-1] == (2, "rejected")


def test_without_a_grid_fields_lie_where_the_stage_says_and_parts_are_sealed(scene: np.ndarray) -> None:
    area = (100.0, 50.0, 400.0, 300.0)
    survey = Surveyed(Scan(SIDE, SIDE, MPP, area, (0.0, 0.0), None, fitted=1, window=5))
    made = shot(scene, 0, GRID)
    survey.come(Shot(0, 130.0, 75.0, made.pixels, made.ground, made.tissue))
    survey.come(FieldsPassed((), "watermark", through=0, sealed=(100.0, 50.0, 400.0, 120.0)))
    assert survey.tiles()[0].spec.view[:2] == (120.0, 100.0)
    assert not survey.caps.plan.complete
    (passed,) = (gap for gap in survey.out if isinstance(gap, TilesPassed))
    beyond = survey.caps.plan.reach * 2 + 1
    assert passed.sealed == pytest.approx((-beyond, -beyond, 1200.0 + beyond, 280.0), abs=0.01)
    survey.come(FieldsPassed((), "close", through=0, taken=2))
    survey.finish()
    assert (survey.acquisition.fields, survey.acquisition.missing) == (2, (1,))


def test_a_field_larger_than_a_tile_becomes_several(scene: np.ndarray) -> None:
    big = cv2.resize(scene, (1500, 1200), interpolation=cv2.INTER_CUBIC)
    scan = Scan(1500, 1200, MPP, None, (0.0, 0.0), Grid(1, 1, 1.0, 1.0), fitted=1, window=2)
    survey = Surveyed(scan)
    survey.come(Shot(0, 0.0, 0.0, big, np.array([228, 222, 232], np.uint8), 0.4))
    tiles = survey.tiles()
    assert sorted(tiles) == [0, 1, 2, 3]
    assert (tiles[3].pixels[: 1200 - 864, : 1500 - 864] == big[864:, 864:]).all()


def test_rows_that_are_sealed_one_by_one_leave_no_gap(scene: np.ndarray) -> None:
    area = (0.0, 0.0, 300.0, 400.0)
    survey = Surveyed(Scan(SIDE, SIDE, 0.23, area, (0.0, 0.0), None, fitted=1, window=5))
    survey.come(shot(scene, 0, GRID))
    rows = (0.0, 70.7, 141.1, 399.99, 400.0)
    for top, bottom in pairwise(rows):
        survey.come(FieldsPassed((), "watermark", through=0, sealed=(0.0, top, 300.0, bottom)))
    sealed = SealedRegions()
    sealed.extend({0: (0.0, 70.7 / 0.23, 256.0, 900.0)})
    for gap in survey.out:
        if isinstance(gap, TilesPassed) and gap.sealed is not None:
            sealed.seal(gap.sealed)
    assert sealed.covers((-10.0, -10.0, 300.0 / 0.23 + 10, 400.0 / 0.23 + 10))
