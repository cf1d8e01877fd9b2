"""Back ends compared on the same fields: the same class on matched cells, the same counts.

OpenVINO is run twice: in bfloat16, where the processor has it, and in float32 (the profile cpu-float32).

python benchmarks/backends.py --coco DATA/detection/train.json --fields 40
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from matching import match, results

from hema_stream.core.result import TallyResult
from hema_stream.core.slide import InputImage
from hema_stream.service.build import backend_settings

WAYS = {
    "openvino": ("cpu", "openvino"),
    "openvino, float32": ("cpu-float32", "openvino"),
    "torch": ("cpu", "torch"),
    "onnxruntime": ("cpu", "onnxruntime"),
}
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
    found = {
        name: results("points", inputs, tuple(backend_settings("points", backend)), profile)
        for name, (profile, backend) in WAYS.items()
    }
    print(f"{len(inputs)} fields")
    for reference in ("openvino", "openvino, float32"):
        for name in ("torch", "onnxruntime"):
            compare(found, reference, name)


def compare(found: dict[str, dict[str, TallyResult]], reference: str, name: str) -> None:
    """Print on how many matched cells two ways agree."""
    same = matched = 0
    for id_, own in found[reference].items():
        other = found[name][id_]
        pairs = match(own.cells.boxes, other.cells.boxes)
        a, b = pairs.T
        matched += len(pairs)
        same += int(((own.best[a] == other.best[b]) & (own.cells.kind[a] == other.cells.kind[b])).sum())
    counts = [sum(len(r.cells) for r in found[way].values()) for way in (name, reference)]
    print(
        f"{name} against {reference}: same class on {same} of {matched} matched cells ({same / matched:.2%}); "
        f"{counts[0]} and {counts[1]} cells ({counts[0] / counts[1] - 1:+.2%})"
    )


if __name__ == "__main__":
    main()
