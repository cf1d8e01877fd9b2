"""Counted once, wherever the tiles fall: a mosaic cut at random offsets must give the same cells.

python benchmarks/offsets.py mosaic.tif --cuts 20
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from matching import match, results
from mosaic import MPP

from hema_stream.core.slide import InputImage

FARTHEST = 1024  # more than a tile's step at this scale, so every place within a tile is tried
MARGIN = 120  # pixels at a cut's own border, where cells are halved by the cut and not by a tile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    pixels = tifffile.imread(asked.slide)
    room = min(min(pixels.shape[:2]) - asked.side, FARTHEST)
    rng = np.random.default_rng(asked.seed)
    offsets = [(0, 0), *(tuple(int(v) for v in rng.integers(0, room, 2)) for _ in range(asked.cuts))]
    with tempfile.TemporaryDirectory() as name:
        inputs = []
        for number, (x, y) in enumerate(offsets):
            path = Path(name) / f"{number}.tif"
            tifffile.imwrite(path, pixels[y : y + asked.side, x : x + asked.side], tile=(256, 256), photometric="rgb")
            inputs.append(InputImage(str(number), path, MPP))
        found = [results("detect", [image])[image.id].cells for image in inputs]
    scores, errors = [], []
    for (x, y), cells in list(zip(offsets, found, strict=True))[1:]:
        low, high = np.array([x, y]) + MARGIN, np.full(2, asked.side - MARGIN)
        here = _within(found[0].centroid, low, high)
        there = _within(cells.centroid + np.array([x, y]), low, high)
        kinds = found[0].kind[here], cells.kind[there]
        pairs = match(found[0].boxes[here], cells.boxes[there] + np.array([x, y, x, y]))
        same = int((kinds[0][pairs[:, 0]] == kinds[1][pairs[:, 1]]).sum())
        f1 = 2 * same / (len(kinds[0]) + len(kinds[1]))
        error = abs(len(kinds[0]) - len(kinds[1])) / len(kinds[0])
        scores.append(f1)
        errors.append(error)
        print(f"offset {x:5d} {y:5d}: {len(kinds[0])} and {len(kinds[1])} cells, F1 {f1:.4f}, counts {error:.2%} apart")
    print(f"F1 least {min(scores):.4f}, mean {np.mean(scores):.4f}; counts at most {max(errors):.2%} apart")


def _within(centroid: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Rows whose centroid lies in the part that both cuts show, away from the borders."""
    return np.flatnonzero((centroid >= low).all(1) & (centroid < high).all(1))


if __name__ == "__main__":
    main()
