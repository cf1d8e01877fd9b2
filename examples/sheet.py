"""Lay the example fields out as one slide of several tiles: a tiled pyramidal TIFF that carries its scale.

python examples/sheet.py OUT.tif --width 8600 --height 5600

The fields lie edge to edge, turned and mirrored, again and again, at one scale: a slide to look at the product with,
not a film to draw conclusions from. Cells at the joins are cut.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tifffile

FIELDS = Path(__file__).parent / "fields"
MPP = 0.139
SCALES = {"bccd": 0.1342, "pbc": 0.1389}
"""Microns a pixel of the sources whose fields are laid out, from fields/README.md; Chula's carry a drawn scale bar."""


def fields(rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Walk the fields in random order at the sheet's scale, turned and mirrored."""
    paths = sorted(path for source in SCALES for path in FIELDS.glob(f"{source}-*.png"))
    while True:
        for position in rng.permutation(len(paths)):
            path = paths[position]
            pixels = cv2.imread(str(path))[..., ::-1]
            factor = SCALES[path.name.split("-")[0]] / MPP
            pixels = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
            pixels = np.rot90(pixels, int(rng.integers(4)))
            yield pixels[:, ::-1] if rng.random() < 0.5 else pixels


def sheet(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Fill columns from the top; (height, width, 3) uint8 RGB."""
    walk, out = fields(np.random.default_rng(seed)), np.full((height, width, 3), 225, np.uint8)
    x = 0
    while x < width:
        y, column = 0, []
        while y < height:
            column.append(next(walk))
            y += column[-1].shape[0]
        across, y = min(field.shape[1] for field in column), 0
        for field in column:
            part = field[: height - y, : min(across, width - x)]
            out[y : y + part.shape[0], x : x + part.shape[1]] = part
            y += part.shape[0]
        x += across
    return out


def write(pixels: np.ndarray, path: Path) -> None:
    """Write a tiled pyramid with JPEG tiles and the scale in its tags."""
    levels = [pixels]
    while max(levels[-1].shape[:2]) > 1024:
        height, width = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
    options = {"tile": (256, 256), "compression": "jpeg", "compressionargs": {"level": 92}, "photometric": "rgb"}
    with tifffile.TiffWriter(path) as writer:
        writer.write(levels[0], subifds=len(levels) - 1, resolution=(1e4 / MPP,) * 2, resolutionunit=3, **options)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, **options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=8600)
    parser.add_argument("--height", type=int, default=5600)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    write(sheet(asked.width, asked.height, asked.seed), asked.out)
