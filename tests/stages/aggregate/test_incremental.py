"""Incremental suppression equals the one pass over everything, after every insert."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hema_stages.aggregate import IncrementalNMS, batch_nms

CASES = 2000


def plain_nms(boxes, scores, ids, iou, priority):
    """The definition, word for word."""
    order = sorted(range(len(boxes)), key=lambda i: (-priority[i], -float(np.float32(scores[i])), ids[i][0], ids[i][1]))
    kept = []
    for d in order:
        area = (boxes[d][2] - boxes[d][0]) * (boxes[d][3] - boxes[d][1])
        for k in kept:
            w = min(boxes[d][2], boxes[k][2]) - max(boxes[d][0], boxes[k][0])
            h = min(boxes[d][3], boxes[k][3]) - max(boxes[d][1], boxes[k][1])
            inter = w * h if w > 0 and h > 0 else 0.0
            other = (boxes[k][2] - boxes[k][0]) * (boxes[k][3] - boxes[k][1])
            if inter > iou * (area + other - inter):
                break
            if priority[d] == 0 and priority[k] >= 1 and area > 0 and 2 * inter >= area:
                break
        else:
            kept.append(d)
    return kept


@dataclass
class GridPlan:
    """Overlapping tiles on a grid."""

    across: int
    down: int
    side: float = 100.0
    step: float = 80.0
    complete: bool = True

    def __len__(self):
        return self.across * self.down

    def box(self, tile):
        y, x = divmod(tile, self.across)
        return (x * self.step, y * self.step, x * self.step + self.side, y * self.step + self.side)

    def tiles_overlapping(self, box):
        return [
            t
            for t in range(len(self))
            if self.box(t)[0] <= box[2]
            and box[0] <= self.box(t)[2]
            and self.box(t)[1] <= box[3]
            and box[1] <= self.box(t)[3]
        ]


def random_tiles(rng, plan):
    """Detections by tile: crowded, with ties, zero areas and boxes on the tile's edges."""
    whole = (plan.across * plan.step + 20, plan.down * plan.step + 20)
    centres = rng.uniform(0, whole, (rng.integers(1, 60), 2))
    tiles = {}
    for t in range(len(plan)):
        x0, y0, x1, y1 = plan.box(t)
        seen = centres[(centres > (x0, y0)).all(1) & (centres < (x1, y1)).all(1)]
        half = rng.choice([0.0, 5.0, 8.0, 8.0, 8.0, 20.0], (len(seen), 1)) * rng.uniform(0.8, 1.2, (len(seen), 2))
        boxes = np.concatenate([seen - half, seen + half], 1) + rng.choice([0.0, 1.0], (len(seen), 1)) * rng.normal(
            0, 1, (len(seen), 4)
        )
        boxes = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], 1)
        boxes = np.clip(boxes, (x0, y0, x0, y0), (x1, y1, x1, y1))
        scores = rng.choice([0.5, 0.5, 0.9, rng.random()], len(seen)).astype(np.float32)
        tiles[t] = (boxes, scores, rng.integers(0, 3, len(seen)))
    return tiles


def as_set(ids):
    return set(map(tuple, np.asarray(ids).tolist()))


@pytest.mark.parametrize("block", range(20))
def test_equals_one_pass_after_every_insert(block):
    for case in range(CASES // 20):
        run_case(np.random.default_rng([block, case]))


def run_case(rng):
    plan = GridPlan(int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    tiles = random_tiles(rng, plan)
    iou = float(rng.choice([0.3, 0.5, 0.7]))
    nms = IncrementalNMS(iou, plan=plan if rng.random() < 0.8 else None)
    inserted, replayed, final, dropped = [], set(), set(), set()
    closed: set[int] = set()
    arrival = list(rng.permutation(len(plan))) + list(rng.integers(0, len(plan), 2))
    for tile in map(int, arrival):
        if rng.random() < 0.15:
            nms.close(tile)
            closed.add(tile)
            continue
        boxes, scores, priority = tiles[tile]
        delta = nms.insert(tile, boxes, scores, np.zeros(len(boxes), int), priority)
        if tile in closed:
            assert not len(delta.added)
            assert not len(delta.retracted)
        else:
            inserted.append(tile)
            closed.add(tile)
        assert not as_set(delta.added) & replayed
        assert as_set(delta.retracted) <= replayed
        assert not as_set(delta.retracted) & final
        replayed = (replayed | as_set(delta.added)) - as_set(delta.retracted)
        if rng.random() < 0.5:
            now = as_set(nms.drain_final()[0])
            assert not now & final
            final |= now
            dropped |= as_set(nms.drain_dropped())
        truth = one_pass({t: tiles[t] for t in inserted}, iou)
        assert final | as_set(nms.kept()[0]) == truth == replayed
        assert not dropped & truth
    nms.close_all()
    assert nms.pending() == 0
    final |= as_set(nms.drain_final()[0])
    dropped |= as_set(nms.drain_dropped())
    assert final == replayed
    assert len(final) + len(dropped) == sum(len(tiles[t][0]) for t in inserted)


def one_pass(tiles, iou):
    if not tiles:
        return set()
    boxes = np.concatenate([v[0] for v in tiles.values()])
    scores = np.concatenate([v[1] for v in tiles.values()])
    priority = np.concatenate([v[2] for v in tiles.values()])
    ids = np.concatenate([np.stack([np.full(len(v[0]), t), np.arange(len(v[0]))], 1) for t, v in tiles.items()])
    kept = batch_nms(boxes, scores, np.zeros(len(boxes), int), ids, iou, priority=priority)
    assert sorted(kept) == sorted(plain_nms(boxes, scores, ids, iou, priority))
    return as_set(ids[kept])


def test_everything_is_final_once_every_tile_has_ended():
    rng = np.random.default_rng(5)
    plan = GridPlan(4, 4)
    tiles = random_tiles(rng, plan)
    nms = IncrementalNMS(plan=plan)
    for tile, (boxes, scores, priority) in tiles.items():
        if tile % 5:
            nms.insert(tile, boxes, scores, np.zeros(len(boxes), int), priority)
        else:
            nms.close(tile)
    assert nms.pending() == 0


def test_a_chain_of_ten_thousand_does_not_recurse():
    count = 10_000
    boxes = np.stack([np.arange(count) * 4.0, np.zeros(count), np.arange(count) * 4.0 + 10, np.full(count, 10.0)], 1)
    scores = np.linspace(0.9, 0.1, count).astype(np.float32)
    nms = IncrementalNMS(iou=0.3)
    nms.insert(0, boxes[1:], scores[1:], np.zeros(count - 1, int))
    delta = nms.insert(1, boxes[:1], scores[:1], np.zeros(1, int))
    assert len(delta.added) + len(delta.retracted) == count
    nms.close_all()
    assert len(nms.drain_final()[0]) == count // 2


@pytest.mark.parametrize(
    "boxes", [[[0, 0, np.nan, 1]], [[5, 0, 1, 1]], [[0, 0, np.inf, 1]], [[0, 0, 500, 10]]], ids=str
)
def test_bad_boxes_are_refused(boxes):
    nms = IncrementalNMS(plan=GridPlan(1, 1))
    with pytest.raises(ValueError, match="box"):
        nms.insert(0, np.array(boxes, float), np.array([0.5]), np.array([0]))


def test_without_a_plan_nothing_is_final_before_close_all():
    nms = IncrementalNMS()
    nms.insert(0, np.array([[0, 0, 10, 10.0]]), np.array([0.9]), np.array([0]))
    assert len(nms.drain_final()[0]) == 0
    nms.close_all()
    assert nms.drain_final()[0].tolist() == [[0, 0]]


def test_a_growing_plan_is_final_only_where_it_is_sealed():
    nms = IncrementalNMS()
    nms.extend_plan({0: (0, 0, 100, 100), 1: (80, 0, 180, 100)})
    nms.insert(0, np.array([[10, 10, 30, 30], [85, 10, 95, 20.0]]), np.array([0.9, 0.8]), np.array([0, 0]))
    assert len(nms.drain_final()[0]) == 0
    nms.seal((0, 0, 60, 100))
    assert nms.drain_final()[0].tolist() == [[0, 0]]
    nms.seal((60, 0, 120, 100))
    assert len(nms.drain_final()[0]) == 0
    nms.close(1)
    assert nms.drain_final()[0].tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="sealed"):
        nms.extend_plan({2: (50, 50, 150, 150)})


def test_offsets_shift_boxes_only_between_the_two_tiles():
    nms = IncrementalNMS()
    nms.insert(0, np.array([[0, 0, 10, 10.0]]), np.array([0.9]), np.array([0]))
    shifted = nms.insert(1, np.array([[20, 0, 30, 10.0]]), np.array([0.8]), np.array([0]), offsets={0: (-20.0, 0.0)})
    assert len(shifted.added) == 0
    assert len(nms.insert(2, np.array([[20, 0, 30, 10.0]]), np.array([0.7]), np.array([0])).added) == 1


def test_masks_decide_where_asked():
    boxes = np.array([[0, 0, 10, 10.0], [0, 0, 10, 10.0]])
    lower, upper = [[0, 0], [10, 0], [0, 10]], [[10, 10], [10, 0.1], [0.1, 10]]
    contours = [np.array(lower, float), np.array(upper, float)]
    ids = np.array([[0, 0], [0, 1]])
    args = (boxes, np.array([0.9, 0.8]), np.array([0, 0]), ids)
    assert len(batch_nms(*args)) == 1
    assert len(batch_nms(*args, metric="mask", contours=contours)) == 2
    nms = IncrementalNMS(metric="mask")
    assert len(nms.insert(0, *args[:3], contours=contours).added) == 2
