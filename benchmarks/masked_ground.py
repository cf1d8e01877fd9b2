"""Red cell shapes once more with the ground painted over: how much of a shape was told by its field's background.

Every field of the folds that benchmarks/folds.py answered is analysed; what lies outside the found cells takes one
colour, the same in all fields; the fold's model answers the labelled centres again.

python benchmarks/masked_ground.py --data DATA/rbc --work FOLDS
"""

from __future__ import annotations

import argparse
import csv
import subprocess
from pathlib import Path

import cv2
import numpy as np
from folds import PROGRAM
from hema_models.evaluation.classification import macro_f1, recalls
from hema_models.training.crops import STREAMS
from matching import results

from hema_stream.core.slide import InputImage

GROUND = (192, 205, 222)  # blue, green, red; the ground of configs/stain_reference.yaml
RIM = 2  # pixels around a cell that stay, so that its own border does


def paint(fields: Path, out: Path, names: list[str], scale: float) -> None:
    """Write copies of fields in which only found cells show."""
    inputs = [InputImage(name.replace("/", "_"), fields / name, scale) for name in names]
    found = results("detect", inputs)
    for image, name in zip(inputs, names, strict=True):
        pixels = cv2.imread(str(image.path))
        cells = found[image.id].cells
        shown = np.zeros(pixels.shape[:2], np.uint8)
        for row in range(len(cells)):
            cv2.fillPoly(shown, [np.round(cells.polygon(row)).astype(np.int32)], 1)
        shown = cv2.dilate(shown, np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8))
        pixels[shown == 0] = GROUND
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target.with_suffix(".png")), pixels)


def answer(work: Path, fields: Path, fold: int, shape: str | None) -> list[dict[str, str]]:
    """Ask a fold's model for the fold's centres on painted fields, those that hold ``shape`` where one is named."""
    asked = work / f"rbc-{fold}.card.json.points.csv"
    with asked.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    holding = {row["image"] for row in rows if shape in (None, row["class"])}
    rows = [row for row in rows if row["image"] in holding]
    if not rows:
        return []
    with (fields / "fields.csv").open(newline="") as handle:
        scale = {row["image"]: float(row["mpp"]) for row in csv.DictReader(handle)}
    names = sorted({row["image"] for row in rows})
    painted, mpp = work / f"painted-{fold}", scale[names[0]]
    paint(fields, painted, names, mpp)
    points, out = painted / "points.csv", painted / "answers.csv"
    with points.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "image": str(Path(row["image"]).with_suffix(".png"))} for row in rows)
    command = ["evaluate", "points", "--points", str(points), "--images", str(painted), "--out", str(out)]
    settings = ["--mpp", str(mpp), "--set", f"classify_rbc.model={work / f'rbc-{fold}.card.json'}"]
    subprocess.run([PROGRAM, *command, *settings], check=True, capture_output=True)
    with out.open(newline="") as handle:
        return [row for row in csv.DictReader(handle) if row["class"] not in STREAMS["rbc"].dropped]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--shape", help="only fields that hold this one")
    asked = parser.parse_args()
    folds = sorted(int(path.name[4:].split(".")[0]) for path in asked.work.glob("rbc-*.safetensors"))
    rows = [row for fold in folds for row in answer(asked.work, asked.data / "chula_rbc12", fold, asked.shape)]
    label, said = [row["class"] for row in rows], [row["predicted"] for row in rows]
    scores = macro_f1(label, said, sorted(set(label)))
    told = recalls(label, [a == b for a, b in zip(label, said, strict=True)])
    print(f"{len(rows)} cells on painted ground, macro F1 {np.mean(list(scores.values())):.3f}")
    for name, value in scores.items():
        print(f"  {name:14} F1 {value:.2f}  recall {told[name][0]:.2f} ({told[name][1]})")


if __name__ == "__main__":
    main()
