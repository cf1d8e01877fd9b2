"""Dedupe and tally called by themselves: counts, labels, deltas, held crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hema_stages.aggregate.dedupe import Dedupe
from hema_stages.aggregate.held import HeldCrops
from hema_stages.aggregate.tally import Tally
from hypothesis import given, settings
from hypothesis import strategies as st

from hema_stream.core.calibration import Calibration, Foreground, StainFit
from hema_stream.core.cells import CellTable, Kind, Priority
from hema_stream.core.crops import Crops, Labels
from hema_stream.core.delta import CellDelta
from hema_stream.core.errors import LedgerError as CountError
from hema_stream.core.field import Acquisition, TilesPassed
from hema_stream.core.field_plan import FieldPlan
from hema_stream.core.routed import Routed
from hema_stream.core.slide import Scale, ScaleSource, Slide
from hema_stream.core.tile import TilePlan
from hema_stream.flow import Caps, Gap, LedgerError

SCALE = Scale(0.25, ScaleSource.GIVEN)
SLIDE = Slide("s", Path("s.tif"), 1900, 1000, 0.25, ScaleSource.GIVEN, (), "plain")
STAIN = StainFit()
CAPS = Caps(
    "any",
    slide=SLIDE,
    plan=TilePlan(1900, 1000, SCALE),
    calibration=Calibration(SCALE, STAIN, np.zeros(3, np.uint8), 0.0, 1.0, Foreground(np.ones((1, 1), bool), 2000.0)),
)


def cells(tile: int, boxes: list, kinds: list[int], priority: list[int], score: float = 0.9) -> CellTable:
    count = len(boxes)
    array = np.array(boxes, float).reshape(-1, 4)
    return CellTable(
        tile=np.full(count, tile, np.int32),
        index=np.arange(count, dtype=np.int32),
        kind=np.array(kinds, np.int8),
        score=np.full(count, score, np.float32),
        boxes=array,
        centroid=(array[:, :2] + array[:, 2:]) / 2,
        area=np.full(count, 700, np.float32),
        solidity=np.ones(count, np.float32),
        priority=np.array(priority, np.int8),
        clump=np.zeros(count, np.int16),
        vertices=np.zeros((3 * count, 2), np.int16),
        starts=np.arange(0, 3 * count + 1, 3),
    )


def crops(tile: int, indices: list[int], stream: str = "rbc") -> Crops:
    keys = np.array([[tile, i] for i in indices], np.int32)
    return Crops(stream, np.full((len(indices), 8, 8, 3), tile + 1, np.uint8), keys, np.ones(len(indices), np.float32))


def labels(keys: list, best: int = 0, stream: str = "rbc") -> Labels:
    count = len(keys)
    probabilities = np.full((count, 14 if stream == "rbc" else 12), 0.01, np.float32)
    probabilities[:, best] = 0.9
    return Labels(
        stream, np.array(keys, np.int32), probabilities, np.full(count, best, np.int16), np.zeros(count, bool)
    )


def opened_tally() -> tuple[Tally, object]:
    stage = Tally("tally")
    _, state = stage.negotiate_pad("sink", CAPS, None)
    return stage, state


NONE = np.zeros((0, 2), np.int32)


class TestDedupe:
    def test_a_cell_on_a_seam_counts_once_and_its_late_crop_follows(self) -> None:
        stage = Dedupe("dedupe")
        _, state = stage.negotiate(CAPS)
        seam = [880, 100, 910, 130]
        first = Routed(
            0, cells(0, [seam, [10, 10, 40, 40]], [0, 0], [Priority.WHOLE, Priority.OWNED]), (crops(0, [0]),)
        )
        out = list(stage.process(first, state))
        assert [pad for pad, _ in out] == ["src"]
        assert len(out[0][1].added) == 2
        assert out[0][1].kept.tolist() == [[0, 1]]
        assert out[0][1].ended == {0: "analysed"}
        second = Routed(1, cells(1, [seam], [0], [Priority.OWNED]))
        ((pad, delta),) = list(stage.process(second, state))
        assert pad == "src"
        assert delta.added.keys.tolist() == [[1, 0]]
        assert delta.retracted.tolist() == [[0, 0]]
        assert delta.dropped.tolist() == [[0, 0]]
        assert not state.tables
        assert not len(state.held)

    def test_a_lost_neighbour_lets_the_other_view_through(self) -> None:
        stage = Dedupe("dedupe")
        _, state = stage.negotiate(CAPS)
        first = Routed(0, cells(0, [[880, 100, 910, 130]], [0], [Priority.WHOLE]), (crops(0, [0]),))
        list(stage.process(first, state))
        out = dict(stage.gap(Gap((1,), "timeout"), state))
        assert out["late_rbc"].keys.tolist() == [[0, 0]]
        assert out["src"].ended == {1: "gap"}
        assert out["src"].reasons == {1: "timeout"}

    def test_a_tile_delivered_twice_counts_once(self) -> None:
        stage = Dedupe("dedupe")
        _, state = stage.negotiate(CAPS)
        item = Routed(0, cells(0, [[10, 10, 40, 40]], [0], [Priority.OWNED]))
        list(stage.process(item, state))
        ((_, again),) = list(stage.process(item, state))
        assert len(again.added) == 0


class TestHeldCrops:
    @pytest.mark.parametrize("limit", [0, 200, 10**6])
    def test_memory_or_disk_is_the_same(self, limit: int) -> None:
        held = HeldCrops(limit)
        held.hold(3, (crops(3, [0, 1, 2]), crops(3, [5], "wbc")))
        held.hold(4, (crops(4, [7]),))
        assert held.nbytes <= limit
        released = held.release(np.array([[3, 1], [3, 5], [4, 9]], np.int32))
        assert [(c.stream, c.keys.tolist()) for c in released] == [("rbc", [[3, 1]]), ("wbc", [[3, 5]])]
        assert (released[0].pixels == 4).all()
        held.forget(3)
        held.forget(4)
        assert held.nbytes == 0
        held.close()


class TestTally:
    def test_a_label_may_come_before_or_after_its_cell(self) -> None:
        stage, state = opened_tally()
        _, early = stage.process(labels([[0, 0]]), state)
        assert not len(early.labelled[0])
        _, added = stage.process(CellDelta(cells(0, [[20, 20, 29, 29]] * 2, [0, 0], [2, 2]), NONE, NONE, NONE), state)
        assert added.labelled[0].keys.tolist() == [[0, 0]]
        assert added.counts["rbc/normal"] == 1
        _, late = stage.process(labels([[0, 1], [0, 0]], best=3), state)
        assert late.labelled[0].keys.tolist() == [[0, 1]]
        assert late.counts == {"cells": 2, "rbc": 2, "rbc/normal": 1, "rbc/sickle": 1}
        assert state.standings.relabelled == 1

    def test_what_comes_back_brings_its_label(self) -> None:
        stage, state = opened_tally()
        table = cells(0, [[20, 20, 29, 29]], [0], [1])
        stage.process(CellDelta(table, NONE, NONE, NONE), state)
        stage.process(labels([[0, 0]]), state)
        _, gone = stage.process(CellDelta(CellTable.empty(), np.array([[0, 0]], np.int32), NONE, NONE), state)
        assert gone.counts == {}
        _, back = stage.process(CellDelta(table, NONE, NONE, NONE), state)
        assert back.labelled[0].keys.tolist() == [[0, 0]]
        assert back.counts["rbc/normal"] == 1

    def test_a_cell_without_class_or_reason_fails_loudly(self) -> None:
        stage, state = opened_tally()
        ended = dict.fromkeys(range(len(CAPS.plan)), "analysed")
        stage.process(CellDelta(cells(0, [[20, 20, 29, 29]], [0], [2]), NONE, NONE, NONE, ended), state)
        with pytest.raises(CountError, match="neither a class nor a reason"):
            list(stage.finish(state))
        stage.gap(Gap(np.array([[0, 0]], np.int32), "out-of-memory"), state)
        ((_, result),) = list(stage.finish(state))
        assert result.lost.tolist() == [True]
        assert result.tile_reasons == {"classification: out-of-memory": 1}

    def test_a_tile_that_never_ended_fails_loudly(self) -> None:
        stage, state = opened_tally()
        stage.process(CellDelta(CellTable.empty(), NONE, NONE, NONE, {0: "analysed"}), state)
        with pytest.raises(LedgerError, match="never ended"):
            list(stage.finish(state))

    def test_cancelled_tiles_make_a_partial_result(self) -> None:
        stage, state = opened_tally()
        stage.process(CellDelta(cells(0, [[20, 20, 29, 29]], [2], [2]), NONE, NONE, NONE, {0: "analysed"}), state)
        ((_, result),) = list(stage.cancelled(state))
        assert result.status == "partial"
        assert result.tiles["cancelled"] == len(CAPS.plan) - 1
        assert len(result.cells) == 1

    @settings(max_examples=60, deadline=None)
    @given(
        steps=st.lists(
            st.tuples(
                st.sampled_from(["add", "retract", "label"]), st.integers(0, 2), st.integers(0, 3), st.integers(0, 4)
            ),
            max_size=30,
        )
    )
    def test_counts_follow_any_history(self, steps: list) -> None:
        stage, state = opened_tally()
        counted: set[tuple[int, int]] = set()
        named: dict[tuple[int, int], int] = {}
        shown: dict[tuple[int, int], int] = {}
        for action, tile, index, best in steps:
            key = (tile, index)
            if action == "add":
                table = cells(tile, [[20, 20, 29, 29]] * 4, [Kind.RBC] * 4, [2] * 4).take(np.array([index]))
                _, delta = stage.process(CellDelta(table, NONE, NONE, NONE), state)
                counted.add(key)
            elif action == "retract" and key in counted:
                _, delta = stage.process(CellDelta(CellTable.empty(), np.array([key], np.int32), NONE, NONE), state)
                counted.discard(key)
                shown.pop(key, None)
            elif action == "label":
                _, delta = stage.process(labels([key], best), state)
                named.setdefault(key, best)
            else:
                continue
            for part in delta.labelled:
                shown.update(zip(map(tuple, part.keys.tolist()), part.best.tolist(), strict=True))
        counts = state.standings.counts
        assert counts["cells"] == len(counted)
        assert shown == {key: named[key] for key in counted if key in named}
        for best in range(5):
            name = state.standings.taxonomies["rbc"].names[best]
            assert counts[f"rbc/{name}"] == sum(named.get(key) == best for key in counted)


GROWING = FieldPlan(1900, 1000, SCALE, (800, 800), reach=20.0)


def growing() -> tuple[Dedupe, object]:
    stage = Dedupe("dedupe")
    return stage, stage.negotiate(Caps("any", slide=SLIDE, plan=GROWING, calibration=CAPS.calibration))[1]


def routed(tile: int, x: float, boxes: list, offsets: dict | None = None) -> Routed:
    table = cells(tile, boxes, [0] * len(boxes), [Priority.WHOLE] * len(boxes), 0.9 - tile / 100)
    return Routed(tile, table, (), {}, (x, 0.0, x + 800.0, 800.0), offsets or {})


def test_without_a_grid_cells_are_final_where_the_area_is_sealed() -> None:
    stage, state = growing()
    ((_, first),) = stage.process(routed(0, 0.0, [[10, 10, 40, 40], [700, 10, 730, 40]]), state)
    assert (first.planned, len(first.kept)) == ((0,), 0)
    ((_, passed),) = stage.gap(TilesPassed((), "watermark", sealed=(-50.0, -50.0, 55.0, 1000.0)), state)
    assert passed.kept.tolist() == []  # fields may lie off by the reach
    ((_, passed),) = stage.gap(TilesPassed((2,), "not received", sealed=(55.0, -50.0, 600.0, 1000.0)), state)
    assert passed.kept.tolist() == [[0, 0]]
    assert (passed.ended, passed.planned) == ({2: "gap"}, (2,))
    ((_, last),) = stage.finish(state)
    assert last.kept.tolist() == [[0, 1]]


def test_a_field_beside_a_sealed_part_may_come() -> None:
    stage, state = growing()
    list(stage.gap(TilesPassed((), "watermark", sealed=(0.0, 0.0, 700.0, 1000.0)), state))
    ((_, delta),) = stage.process(routed(1, 700.0, [[710, 10, 740, 40]]), state)
    assert delta.added.keys.tolist() == [[1, 0]]


def test_the_offset_of_two_fields_is_used_only_where_they_are_compared() -> None:
    for offsets, kept in (({}, [[0, 0], [1, 0]]), ({0: (-24.0, 0.0)}, [[0, 0]])):
        stage, state = growing()
        list(stage.process(routed(0, 0.0, [[700, 10, 730, 40]]), state))
        list(stage.process(routed(1, 640.0, [[724, 10, 754, 40]], offsets), state))
        ((_, last),) = stage.finish(state)
        assert last.kept.tolist() == kept


def test_a_growing_plan_is_checked_against_the_fields_of_its_scan() -> None:
    made = Acquisition(3, 2, (2,), (), (), (0, 1), True, 1, 0, 0, 0.5)
    for planned, whole in (((0, 1, 2), True), ((0, 1), False)):
        stage = Tally("tally")
        caps = Caps("any", slide=SLIDE, plan=GROWING, calibration=CAPS.calibration)
        _, state = stage.negotiate_pad("sink", caps, None)
        ended = dict.fromkeys(planned, "analysed")
        none = np.zeros((0, 2), np.int32)
        delta = CellDelta(CellTable.empty(), none, none, none, ended, planned=planned, acquisition=made)
        _, told = stage.process(delta, state)
        assert told.progress["planned"] == len(planned)
        if whole:
            ((_, result),) = stage.finish(state)
            assert result.acquisition == made
        else:
            with pytest.raises(CountError, match="2 tiles ended of a scan of 3 fields"):
                list(stage.finish(state))
