"""Make a slide of real fields: a tiled pyramidal TIFF at 0.139 um a pixel.

python benchmarks/mosaic.py --coco DATA/detection/train.json --side 7370 --out mosaic.tif
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import tifffile

MPP = 0.139
LABS = ("bccd", "pbc", "raabin")


def fields(coco: Path, rng: np.random.Generator):
    """Walk the fields of the three laboratories in random order, turned and mirrored, again and again."""
    images = [i for i in json.loads(coco.read_text())["images"] if i["lab"] in LABS]
    while True:
        for position in rng.permutation(len(images)):
            image = images[position]
            pixels = cv2.imread(str(coco.parent / image["file_name"]))[..., ::-1]
            scale = image["mpp"] / MPP
            size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
            pixels = np.rot90(pixels, int(rng.integers(4)))
            yield pixels[:, ::-1] if rng.random() < 0.5 else pixels


def mosaic(coco: Path, side: int, seed: int = 0) -> np.ndarray:
    """Lay fields shelf by shelf, edge to edge; (side, side, 3) uint8 RGB."""
    rng = np.random.default_rng(seed)
    source, out = fields(coco, rng), np.full((side, side, 3), 225, np.uint8)
    y = 0
    while y < side:
        x, depth = 0, side
        shelf = []
        while x < side:
            pixels = next(source)
            shelf.append((x, pixels))
            x += pixels.shape[1]
            depth = min(depth, pixels.shape[0])
        for x, pixels in shelf:
            part = pixels[: min(depth, side - y), : side - x]
            out[y : y + part.shape[0], x : x + part.shape[1]] = part
        y += depth
    return out


def write(pixels: np.ndarray, path: Path) -> None:
    """Write a tiled pyramid with JPEG tiles and the scale in its tags."""
    levels = [pixels]
    while max(levels[-1].shape[:2]) > 1024:
        height, width = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
    options = {"tile": (256, 256), "compression": "jpeg", "compressionargs": {"level": 88}, "photometric": "rgb"}
    with tifffile.TiffWriter(path, bigtiff=pixels.nbytes > 2**31) as writer:
        writer.write(levels[0], subifds=len(levels) - 1, resolution=(1e4 / MPP,) * 2, resolutionunit=3, **options)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, **options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--side", type=int, default=7370)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    write(mosaic(asked.coco, asked.side, asked.seed), asked.out)
