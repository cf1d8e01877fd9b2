"""De-duplication: detections a second, tile by tile and in one pass.

python benchmarks/nms.py --cells 100000
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from hema_stages.aggregate import IncrementalNMS, batch_nms

SIDE, STEP = 1024.0, 896.0
DIAMETER, GAP = 30.0, 32.0


@dataclass
class GridPlan:
    """Square tiles that overlap by 128 px."""

    across: int
    complete: bool = True

    def box(self, tile: int) -> tuple[float, float, float, float]:
        y, x = divmod(tile, self.across)
        return (x * STEP, y * STEP, x * STEP + SIDE, y * STEP + SIDE)

    def tiles_overlapping(self, box: tuple[float, float, float, float]) -> list[int]:
        x0, y0 = (max(int((v - SIDE) // STEP) + 1, 0) for v in box[:2])
        x1, y1 = (min(int(v // STEP), self.across - 1) for v in box[2:])
        return [y * self.across + x for y in range(y0, y1 + 1) for x in range(x0, x1 + 1)]


def detections(cells: int, seed: int = 0) -> tuple[GridPlan, list[tuple[np.ndarray, np.ndarray]]]:
    """Cells on a jittered grid, seen by every tile that holds them whole, each view a pixel off."""
    rng = np.random.default_rng(seed)
    across = int(np.ceil(np.sqrt(cells) * GAP / STEP))
    whole = across * STEP + SIDE - STEP
    ticks = np.arange(DIAMETER, whole - DIAMETER, GAP)
    centres = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)[:cells]
    centres = centres + rng.uniform(-6, 6, centres.shape)
    plan, tiles = GridPlan(across), []
    for tile in range(across * across):
        x0, y0, x1, y1 = plan.box(tile)
        half = DIAMETER / 2
        seen = centres[(centres > (x0 + half, y0 + half)).all(1) & (centres < (x1 - half, y1 - half)).all(1)]
        boxes = np.concatenate([seen - half, seen + half], 1) + rng.normal(0, 0.7, (len(seen), 4))
        boxes = np.clip(boxes, (x0, y0, x0, y0), (x1, y1, x1, y1))
        tiles.append((boxes, rng.random(len(seen)).astype(np.float32)))
    return plan, tiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000)
    asked = parser.parse_args()
    for cells in (1000, asked.cells):  # the first compiles the kernels
        plan, tiles = detections(cells)
        views = sum(len(boxes) for boxes, _ in tiles)
        nms, worst = IncrementalNMS(plan=plan), 0.0
        began = time.perf_counter()
        for tile, (boxes, scores) in enumerate(tiles):
            start = time.perf_counter()
            nms.insert(tile, boxes, scores, np.zeros(len(boxes), np.int64))
            nms.drain_final()
            nms.drain_dropped()
            worst = max(worst, time.perf_counter() - start)
        step = time.perf_counter() - began
        boxes = np.concatenate([b for b, _ in tiles])
        scores = np.concatenate([s for _, s in tiles])
        ids = np.concatenate([np.stack([np.full(len(b), t), np.arange(len(b))], 1) for t, (b, _) in enumerate(tiles)])
        began = time.perf_counter()
        batch_nms(boxes, scores, np.zeros(len(boxes), np.int64), ids)
        once = time.perf_counter() - began
    print(f"{views} views of {cells} cells in {len(tiles)} tiles")
    print(f"tile by tile: {step:.2f} s, {views / step:,.0f} views/s, worst tile {worst * 1e3:.1f} ms")
    print(f"one pass:     {once:.2f} s, {views / once:,.0f} views/s")


if __name__ == "__main__":
    main()
