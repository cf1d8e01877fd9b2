"""The same suppression without waiting: exact after every tile, in any order of arrival."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hema_stages.aggregate.columns import Columns
from hema_stages.aggregate.overlap import METRICS, Contours, Floats, box_area, box_intersection, check_boxes, suppresses
from hema_stages.aggregate.pairs import PairIndex
from hema_stages.aggregate.sealed import SealedRegions

Ids = NDArray[np.int64]
Box = tuple[float, float, float, float]


class Plan(Protocol):
    """The tiles of a slide."""

    @property
    def complete(self) -> bool:
        """Whether no tile will be added."""
        ...

    def box(self, tile: int) -> Box:
        """Where a tile lies."""
        ...

    def tiles_overlapping(self, box: Box) -> Iterable[int]:
        """Tiles whose box meets a box."""
        ...


class Delta(NamedTuple):
    """What an insert changed: ids (N, 2) of tile and index that are kept from now on, and that no longer are."""

    added: Ids
    retracted: Ids


class IncrementalNMS:
    """``batch_nms`` of all that was inserted, after every insert.

    A detection is final when every tile of the plan that overlaps its box is closed and every better one that could
    suppress it is final; final ones are handed out by ``drain_final`` and ``drain_dropped`` and freed. With a ``reach``
    its box counts as so much wider there: tiles may really lie so far off their places.

    >>> nms = IncrementalNMS(plan=plan)
    >>> delta = nms.insert(0, boxes, scores, classes, priority)
    """

    def __init__(self, iou: float = 0.5, metric: str = "box", plan: Plan | None = None, reach: float = 0.0) -> None:
        if metric not in METRICS:
            raise ValueError(f"metric {metric!r} is not one of {', '.join(METRICS)}")
        self._iou, self._metric, self._plan, self._off = iou, metric, plan, reach
        self._rows = Columns()
        self._index = PairIndex()
        self._better: dict[int, set[int]] = {}
        self._worse: dict[int, set[int]] = {}
        self._waiting: dict[int, set[int]] = {}
        self._closed: set[int] = set()
        self._all_closed = False
        self._sealed = SealedRegions()
        self._unsealed: set[int] = set()
        self._offsets: dict[tuple[int, int], tuple[float, float]] = {}
        self._reach = 0.0
        self._final: list[int] = []
        self._dropped: list[int] = []

    def insert(
        self,
        tile: int,
        boxes: NDArray[np.floating],
        scores: NDArray[np.floating],
        classes: NDArray[np.integer],
        priority: NDArray[np.integer] | None = None,
        contours: Contours | None = None,
        offsets: Mapping[int, tuple[float, float]] | None = None,
    ) -> Delta:
        """Insert a tile's detections, numbered 0..N-1, and close the tile.

        Args:
            boxes: (N, 4) xyxy within the tile; scores: (N,); classes: (N,), which play no part.
            priority: (N,) 0, 1, 2; all 1 where none is given.
            contours: outlines (K, 2), for the metric ``mask``.
            offsets: by other tile, how far this tile's boxes are shifted where the two are compared.

        Raises:
            ValueError: NaN or inverted boxes, or boxes outside their tile.
        """
        if tile in self._closed or self._all_closed:
            return Delta(np.zeros((0, 2), np.int64), np.zeros((0, 2), np.int64))
        checked = check_boxes(boxes, scores)
        self._check_within(tile, checked)
        for other, (dx, dy) in (offsets or {}).items():
            self._offsets.setdefault((tile, other), (dx, dy))
            self._reach = max(self._reach, abs(dx), abs(dy))
        ranks = np.ones(len(checked), np.int64) if priority is None else np.asarray(priority, np.int64)
        if self._metric == "mask" and (contours is None or len(contours) != len(checked)):
            raise ValueError("metric 'mask' needs an outline for every box")
        slots = self._rows.add(tile, checked, scores, classes, ranks, contours)
        self._index.add(self._rows.boxes, slots)
        for slot in slots.tolist():
            self._better[slot], self._worse[slot] = set(), set()
        self._relate(tile, slots)
        delta = self._settle(slots)
        self._await_tiles(tile, slots)
        self.close(tile)
        return delta

    def close(self, tile: int) -> None:
        """Say that a tile ended; nothing more comes of it."""
        if tile in self._closed:
            return
        self._closed.add(tile)
        candidates = []
        for slot in self._waiting.pop(tile, ()):
            self._rows.open_tiles[slot] -= 1
            if not self._rows.open_tiles[slot]:
                candidates.append(slot)
        self._finalise(candidates)

    def close_all(self) -> None:
        """Say that nothing more comes at all."""
        self._all_closed = True
        self._waiting.clear()
        self._unsealed.clear()
        self._rows.open_tiles[:] = 0
        self._finalise(list(self._better))

    def extend_plan(self, tiles: Mapping[int, Box]) -> None:
        """Add tiles to a plan that grows; a tile that meets a sealed region raises ValueError."""
        self._sealed.extend(tiles)

    def seal(self, region: Box) -> None:
        """Say that no tile will be added that meets a region."""
        self._sealed.seal(region)
        ready = [slot for slot in self._unsealed if self._sealed.covers(self._wide(slot))]
        for slot in ready:
            self._unsealed.discard(slot)
            tiles = self._open_tiles(self._wide(slot))
            self._rows.open_tiles[slot] = len(tiles)
            for tile in tiles:
                self._waiting.setdefault(tile, set()).add(slot)
        self._finalise([slot for slot in ready if not self._rows.open_tiles[slot]])

    def kept(self) -> tuple[Ids, Floats, NDArray[np.float32], NDArray[np.int64]]:
        """Ids, boxes, scores and classes of what is kept and not drained, in the order of the ids."""
        live = [slot for slot in self._better if self._rows.kept[slot]]
        return self._rows.table(live + self._final)

    def drain_final(self) -> tuple[Ids, Floats, NDArray[np.float32], NDArray[np.int64]]:
        """Hand out the kept detections that have become final since the last call, and free them."""
        table = self._rows.table(self._final)
        self._rows.free(self._final)
        self._final = []
        return table

    def drain_dropped(self) -> Ids:
        """Hand out the ids of suppressed detections that have become final since the last call, and free them."""
        ids = self._rows.table(self._dropped)[0]
        self._rows.free(self._dropped)
        self._dropped = []
        return ids

    def pending(self) -> int:
        """Count the detections that are not final."""
        return len(self._better)

    def _check_within(self, tile: int, boxes: Floats) -> None:
        where = self._sealed.box(tile) if self._plan is None else self._plan.box(tile)
        if where is None or not len(boxes):
            return
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        if (low < np.array(where[:2]) - 1e-6).any() or (high > np.array(where[2:]) + 1e-6).any():
            raise ValueError(f"tile {tile}: a box lies outside the tile's own {where}; clip boxes to their tile first")

    def _relate(self, tile: int, slots: NDArray[np.int64]) -> None:
        """Find which detections could suppress which, among the new and between new and old."""
        rows = self._rows
        queries, others = self._index.near(rows.boxes[slots], rows.boxes, self._reach)
        mine = slots[queries]
        fresh = others > -1
        twice = np.isin(others, slots) & (others <= mine)
        mine, others = mine[fresh & ~twice], others[fresh & ~twice]
        if not len(mine):
            return
        inter = self._intersections(mine, others)
        first = rows.better(mine, others)
        better, worse = np.where(first, mine, others), np.where(first, others, mine)
        areas = rows.area if self._metric == "mask" else None
        better_area = box_area(rows.boxes[better]) if areas is None else areas[better]
        worse_area = box_area(rows.boxes[worse]) if areas is None else areas[worse]
        hit = suppresses(inter, better_area, worse_area, rows.priority[better], rows.priority[worse], self._iou)
        for a, b in zip(better[hit].tolist(), worse[hit].tolist(), strict=True):
            self._better[b].add(a)
            self._worse[a].add(b)

    def _intersections(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> Floats:
        shift = self._shifts(a, b)
        if self._metric == "box":
            return box_intersection(self._rows.boxes[a] + np.tile(shift, 2), self._rows.boxes[b])
        from shapely.affinity import translate

        shapes = self._rows.shapes
        return np.array(
            [translate(shapes[i], *s).intersection(shapes[j]).area for i, j, s in zip(a, b, shift, strict=True)]
        )

    def _shifts(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> Floats:
        shift = np.zeros((len(a), 2))
        if self._offsets:
            for row, pair in enumerate(zip(self._rows.tile[a].tolist(), self._rows.tile[b].tolist(), strict=True)):
                if pair in self._offsets:
                    shift[row] = self._offsets[pair]
                elif pair[::-1] in self._offsets:
                    shift[row] = np.negative(self._offsets[pair[::-1]])
        return shift

    def _settle(self, slots: NDArray[np.int64]) -> Delta:
        """Decide the new ones and whatever they change, best first, with a work list."""
        rows = self._rows
        heap = [(rows.rank(slot), slot) for slot in slots.tolist()]
        heapq.heapify(heap)
        queued = set(slots.tolist())
        before: dict[int, bool] = {}
        while heap:
            _, slot = heapq.heappop(heap)
            kept = not (rows.struck[slot] or any(rows.kept[b] for b in self._better[slot]))
            if kept == rows.kept[slot]:
                continue
            before.setdefault(slot, bool(rows.kept[slot]))
            rows.kept[slot] = kept
            for worse in self._worse[slot]:
                if worse not in queued:
                    queued.add(worse)
                    heapq.heappush(heap, (rows.rank(worse), worse))
        changed = [slot for slot, was in before.items() if was != rows.kept[slot]]
        added = [slot for slot in changed if rows.kept[slot]]
        return Delta(rows.table(added)[0], rows.table([s for s in changed if not rows.kept[s]])[0])

    def _await_tiles(self, tile: int, slots: NDArray[np.int64]) -> None:
        for slot in slots.tolist():
            box = self._wide(slot)
            if self._plan is None and not self._sealed.extended:
                self._rows.open_tiles[slot] = 1
            elif not self._complete and not self._sealed.covers(box):
                self._rows.open_tiles[slot] = 1
                self._unsealed.add(slot)
            else:
                tiles = self._open_tiles(box)
                self._rows.open_tiles[slot] = len(tiles)
                for other in tiles:
                    self._waiting.setdefault(other, set()).add(slot)

    def _wide(self, slot: int) -> Box:
        """Where a detection may really lie."""
        x0, y0, x1, y1 = self._rows.box(slot)
        return x0 - self._off, y0 - self._off, x1 + self._off, y1 + self._off

    @property
    def _complete(self) -> bool:
        return self._plan is not None and self._plan.complete and not self._sealed.extended

    def _open_tiles(self, box: Box) -> list[int]:
        planned = set(self._plan.tiles_overlapping(box)) if self._plan is not None else set()
        return [tile for tile in planned | set(self._sealed.tiles_overlapping(box)) if tile not in self._closed]

    def _finalise(self, candidates: Iterable[int]) -> None:
        """Make final what can be, and then what waited for it."""
        rows = self._rows
        work = [slot for slot in candidates if slot in self._better]
        done: list[int] = []
        while work:
            slot = work.pop()
            if slot not in self._better or rows.open_tiles[slot] or self._better[slot]:
                continue
            del self._better[slot]
            done.append(slot)
            (self._final if rows.kept[slot] else self._dropped).append(slot)
            for worse in self._worse.pop(slot):
                self._better[worse].discard(slot)
                rows.struck[worse] |= rows.kept[slot]
                work.append(worse)
        if done:
            self._index.remove(rows.boxes, np.array(done, np.int64))
