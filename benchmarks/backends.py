"""Back ends compared on the same fields: the same class on matched cells, the same counts.

python benchmarks/backends.py --coco DATA/detection/train.json --fields 40
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from matching import match, results

from hema_stream.core.slide import InputImage
from hema_stream.service.build import backend_settings

BACKENDS = ("openvino", "torch", "onnxruntime")
LABS = ("bccd", "pbc", "raabin", "chula")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--fields", type=int, default=40)
    asked = parser.parse_args()
    images = [i for i in json.loads(asked.coco.read_text())["images"] if i["lab"] in LABS]
    chosen = np.random.default_rng(0).permutation(len(images))[: asked.fields]
    inputs = [
        InputImage(str(images[i]["id"]), asked.coco.parent / images[i]["file_name"], images[i]["mpp"]) for i in chosen
    ]
    found = {name: results("points", inputs, tuple(backend_settings("points", name))) for name in BACKENDS}
    reference = found[BACKENDS[0]]
    print(f"{len(inputs)} fields, {sum(len(r.cells) for r in reference.values())} cells with {BACKENDS[0]}")
    for name in BACKENDS[1:]:
        same = matched = 0
        for id_, own in reference.items():
            other = found[name][id_]
            pairs = match(own.cells.boxes, other.cells.boxes)
            a, b = pairs.T
            matched += len(pairs)
            same += int(((own.best[a] == other.best[b]) & (own.cells.kind[a] == other.cells.kind[b])).sum())
        counts = sum(len(r.cells) for r in found[name].values()), sum(len(r.cells) for r in reference.values())
        print(
            f"{name}: same class on {same} of {matched} matched cells ({same / matched:.2%}); "
            f"{counts[0]} and {counts[1]} cells ({counts[0] / counts[1] - 1:+.2%})"
        )


if __name__ == "__main__":
    main()
