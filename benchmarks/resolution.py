"""The same fields at half, once and twice their size, scale told: counts must stay.

python benchmarks/resolution.py --coco DATA/detection/train.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from matching import results

from hema_stream.core.slide import InputImage

FACTORS = (0.5, 1.0, 2.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--least", type=int, default=50, help="cells that a field must have")
    parser.add_argument("--fields", type=int, default=60)
    asked = parser.parse_args()
    document = json.loads(asked.coco.read_text())
    cells = Counter(a["image_id"] for a in document["annotations"])
    fields = [i for i in document["images"] if cells[i["id"]] >= asked.least]
    chosen = np.random.default_rng(0).permutation(len(fields))[: asked.fields]
    counts: dict[float, list[np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as name:
        for factor in FACTORS:
            inputs = []
            for image in (fields[i] for i in chosen):
                pixels = cv2.imread(str(asked.coco.parent / image["file_name"]))
                size = (round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))
                way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
                path = Path(name) / f"{image['id']}-{factor}.png"
                cv2.imwrite(str(path), cv2.resize(pixels, size, interpolation=way))
                inputs.append(InputImage(str(image["id"]), path, image["mpp"] / factor))
            found = results("detect", inputs)
            counts[factor] = [np.bincount(found[i.id].cells.kind, minlength=3) for i in inputs]
    labs = Counter(fields[i]["lab"] for i in chosen)
    print(f"{len(chosen)} fields of at least {asked.least} cells: {dict(labs)}")
    whole = np.array(counts[1.0])
    for factor in FACTORS:
        own = np.array(counts[factor])
        apart = np.abs(own.sum(1) - whole.sum(1)).mean()
        change = own.sum() / whole.sum() - 1
        print(
            f"x {factor}: {own.sum()} cells ({change:+.2%}), rbc wbc platelet {own.sum(0).tolist()}; "
            f"mean absolute error a field {apart:.2f} of {whole.sum(1).mean():.1f} cells"
        )


if __name__ == "__main__":
    main()
