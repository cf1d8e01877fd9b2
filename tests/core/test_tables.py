"""Tables of cells, plans of tiles, taxonomies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hema_stream.core.cells import CellTable
from hema_stream.core.slide import Scale, ScaleSource
from hema_stream.core.taxonomy import load_taxonomy
from hema_stream.core.tile import TilePlan


def table(count: int, tile: int = 0) -> CellTable:
    rng = np.random.default_rng(count + tile)
    lengths = rng.integers(3, 9, count)
    empty = CellTable.empty(2.0)
    return CellTable(
        tile=np.full(count, tile, np.int32),
        index=np.arange(count, dtype=np.int32),
        kind=rng.integers(0, 3, count).astype(np.int8),
        score=rng.random(count).astype(np.float32),
        boxes=rng.random((count, 4)),
        centroid=rng.random((count, 2)),
        area=rng.random(count).astype(np.float32),
        solidity=rng.random(count).astype(np.float32),
        priority=rng.integers(0, 3, count).astype(np.int8),
        clump=np.zeros(count, np.int16),
        vertices=rng.integers(-9, 9, (lengths.sum(), 2)).astype(np.int16),
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        scale=empty.scale,
    )


@given(counts=st.lists(st.integers(0, 6), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_take_and_concatenate_keep_every_outline_with_its_cell(counts: list[int], seed: int) -> None:
    parts = [table(count, tile) for tile, count in enumerate(counts)]
    whole = CellTable.concatenate(parts)
    outlines = [part.polygon(row) for part in parts for row in range(len(part))]
    order = np.random.default_rng(seed).permutation(len(whole))
    chosen = whole.take(order)
    assert len(chosen) == sum(counts)
    for place, row in enumerate(order):
        np.testing.assert_array_equal(chosen.polygon(place), outlines[row])
        assert tuple(chosen.keys[place]) == tuple(whole.keys[row])


def test_a_cell_costs_at_most_300_bytes_with_a_usual_outline() -> None:
    cells = table(100)
    assert cells.nbytes / 100 < 150
    assert (cells.nbytes - cells.vertices.nbytes) / 100 + 4 * 24 <= 300


@given(
    width=st.integers(64, 9000),
    height=st.integers(64, 9000),
    mpp=st.floats(0.05, 0.5),
)
def test_cores_partition_the_slide_and_tiles_cover_it(width: int, height: int, mpp: float) -> None:
    plan = TilePlan(width, height, Scale(mpp, ScaleSource.GIVEN))
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (40, 2)) * (plan.canonical_width, plan.canonical_height)
    for x, y in points:
        owners = [s for s in plan if s.core[0] <= x < s.core[2] and s.core[1] <= y < s.core[3]]
        assert len(owners) == 1
        box = owners[0].box
        assert box[0] <= x <= box[2]
        assert box[1] <= y <= box[3]


@given(x=st.floats(0, 5000), y=st.floats(0, 5000), side=st.floats(0, 400))
def test_tiles_overlapping_equals_the_plain_search(x: float, y: float, side: float) -> None:
    plan = TilePlan(5400, 5400, Scale(0.139, ScaleSource.GIVEN))
    box = (x, y, x + side, y + side)
    plain = []
    for spec in plan:
        a = tuple(v * plan.scale.canonical for v in spec.box)
        if a[0] <= box[2] and box[0] <= a[2] and a[1] <= box[3] and box[1] <= a[3]:
            plain.append(spec.index)
    assert set(plan.tiles_overlapping(box)) >= set(plain)
    assert len(plan.tiles_overlapping(box)) <= len(plain) + 8


def test_overlap_holds_the_largest_cell() -> None:
    assert TilePlan(9000, 9000, Scale(0.25, ScaleSource.GIVEN)).overlap * 0.25 >= 35


def test_parents_decide_before_leaves() -> None:
    wbc = load_taxonomy("wbc")
    probability = np.zeros((1, 12), np.float32)
    probability[0, wbc.index("neutrophil_segmented")] = 0.3
    probability[0, wbc.index("neutrophil_band")] = 0.31
    probability[0, wbc.index("lymphocyte")] = 0.39
    best = wbc.best(probability)
    assert wbc.names[best[0]] == "neutrophil_band"
    assert not wbc.unknown(np.array(probability), best)[0] or wbc.classes[best[0]].threshold > 0.61


@pytest.mark.parametrize(("stream", "count"), [("rbc", 14), ("wbc", 12)])
def test_taxonomies_hold_the_products_classes(stream: str, count: int) -> None:
    taxonomy = load_taxonomy(stream)
    assert len(taxonomy.names) == len(set(taxonomy.names)) == count
    assert len({c.colour for c in taxonomy.classes}) == count
