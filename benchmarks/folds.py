"""Out-of-fold figures of a classifier: fold models trained, calibrated on the other folds, run through the product.

python benchmarks/folds.py wbc --data DATA/wbc --start efficientnet.safetensors --work FOLDS --jobs 2
python benchmarks/folds.py rbc --data DATA/rbc --start efficientnet.safetensors --work FOLDS --jobs 2 \\
    --healthy DATA/detection/train.json

A fold whose weights lie in FOLDS already is not trained again. All answers are written to FOLDS/STREAM.csv.gz, which
benchmarks/score_folds.py reads.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from hema_models.calibration import fit_temperature
from hema_models.training.crops import HEALTHY, STREAMS

from hema_stream.core.taxonomy import load_taxonomy

APART = {"wbc": ("chula_wbc",), "rbc": ()}  # left out of every fold's training
PROGRAM = str(Path(sys.executable).with_name("hema-stream"))


def train(stream: str, data: Path, start: Path, work: Path, fold: int, folds: int, more: list[str]) -> None:
    """Train one fold's model on one thread."""
    out = work / f"{stream}-{fold}.safetensors"
    if out.exists():
        return
    left_out = [word for source in APART[stream] for word in ("--exclude-source", source)]
    command = [PROGRAM, "train", stream, "--data", str(data), "--start", str(start), "--out", str(out)]
    with (work / f"{stream}-{fold}.log").open("w") as log:
        subprocess.run(
            [*command, "--folds", str(folds), "--fold", str(fold), *left_out, *more],
            check=True,
            stdout=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def held_out(stream: str, work: Path, fold: int) -> list[dict[str, str]]:
    """Rows of a fold, with the logits of the model that did not see them."""
    with gzip.open(work / f"{stream}-{fold}.heldout.csv.gz", "rt", newline="") as handle:
        return list(csv.DictReader(handle))


def calibrate(stream: str, work: Path, folds: int) -> None:
    """Give each fold's card the temperature that fits the other folds; print the one that fits them all."""
    names = load_taxonomy(stream).names
    rows = [held_out(stream, work, fold) for fold in range(folds)]
    for fold in range(folds):
        path = work / f"{stream}-{fold}.card.json"
        card = json.loads(path.read_text())
        card["temperature"] = _temperature(
            stream, names, [r for other in range(folds) if other != fold for r in rows[other]]
        )
        path.write_text(json.dumps(card, indent=2))
        print(f"fold {fold}: {len(rows[fold])} cells held out, temperature {card['temperature']}", flush=True)
    everything = [row for own in rows for row in own]
    print(f"all folds, for a model trained on everything: temperature {_temperature(stream, names, everything)}")


def _temperature(stream: str, names: Sequence[str], rows: list[dict[str, str]]) -> float:
    logits = np.array([[float(row[name]) for name in names] for row in rows])
    return fit_temperature(logits, np.array([STREAMS[stream].allowed(row["class"], names) for row in rows]))


def answer(stream: str, data: Path, work: Path, fold: int, healthy: Path | None) -> list[dict[str, str]]:
    """Let the product answer a fold's pictures with its model; the first fold's answers the sources kept apart.

    ``healthy`` is the COCO file whose red cells were added to training with the label ``HEALTHY``.
    """
    rows = held_out(stream, work, fold)
    card = work / f"{stream}-{fold}.card.json"
    with (data / "labels.csv").open(newline="") as handle:
        labelled = [row for row in csv.DictReader(handle) if row["split"] == "train"]
    names = {row["name"] for row in rows}
    apart = APART[stream] if fold == 0 else ()
    chosen = [row for row in labelled if row["path"] in names or row["source"] in apart]
    answers = _classify(stream, data, work, card, chosen)
    points = [row for row in rows if row["source"] == "chula_rbc12"]
    if points:
        answers += _points(data / "chula_rbc12", work, card, points)
    ungraded = [row for row in rows if row["class"] == HEALTHY]
    if ungraded and healthy:
        answers += _ungraded(healthy, work, card, ungraded)
    return [{**row, "fold": str(fold)} for row in answers]


def _classify(stream: str, data: Path, work: Path, card: Path, chosen: list[dict[str, str]]) -> list[dict[str, str]]:
    here = work / f"{card.name}.pictures"
    here.mkdir(exist_ok=True)
    link = here / "data"
    if not link.exists():
        link.symlink_to(data.resolve())
    table = [{**row, "path": f"data/{row['path']}"} for row in chosen]
    _write(here / "labels.csv", table)
    out = here / "answers.csv"
    command = ["evaluate", "classify", "--stream", stream, "--labels", str(here / "labels.csv"), "--out", str(out)]
    done = subprocess.run(
        [PROGRAM, *command, "--set", f"classify.model={card}"], check=True, capture_output=True, text=True
    )
    (here / "summary.txt").write_text(done.stdout)
    known = {row["path"]: row for row in table}
    return [{**known[row["path"]], **row} for row in _read(out)]


def _points(folder: Path, work: Path, card: Path, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Ask for the labelled centres of the fold's fields."""
    images = {row["name"].split("#")[0] for row in rows}
    block = {row["name"].split("#")[0]: row["group"] for row in rows}
    with (folder / "points.csv").open(newline="") as handle:
        wanted = [row for row in csv.DictReader(handle) if row["image"] in images]
    answers = _ask(wanted, folder, card, work / f"{card.name}.points")
    return [{**row, "source": "chula_rbc12", "group": block[row["image"]]} for row in answers]


def _ungraded(coco: Path, work: Path, card: Path, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Ask for the middles of the boxes of red cells that are known to be neither sickle nor infected."""
    here = work / f"{card.name}.ungraded"
    here.mkdir(exist_ok=True)
    scales = {image["file_name"]: image["mpp"] for image in json.loads(coco.read_text())["images"]}
    told = {row["name"].split("#")[0]: row for row in rows}
    _write(here / "fields.csv", [{"image": name, "mpp": str(scales[name])} for name in told])
    wanted = []
    for row in rows:
        image, at = row["name"].split("#")
        x, y = at.split(",")
        wanted.append({"image": image, "x": x, "y": y, "class": row["class"]})
    answers = _ask(wanted, coco.parent, card, here / "points")
    return [{**row, "source": told[row["image"]]["source"], "group": told[row["image"]]["group"]} for row in answers]


def _ask(wanted: list[dict[str, str]], images: Path, card: Path, beside: Path) -> list[dict[str, str]]:
    """Run ``evaluate points`` with a card's model; its tables are named after ``beside``."""
    points, out = (beside.with_name(f"{beside.name}{ending}") for ending in (".csv", ".answers.csv"))
    _write(points, wanted)
    command = ["evaluate", "points", "--points", str(points), "--images", str(images), "--out", str(out)]
    subprocess.run([PROGRAM, *command, "--set", f"classify_rbc.model={card}"], check=True, capture_output=True)
    return [{**row, "path": row["image"]} for row in _read(out)]


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stream", choices=("rbc", "wbc"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="folds trained, and answered, side by side")
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--healthy", type=Path)
    asked, more = parser.parse_known_args()
    more += ["--healthy", str(asked.healthy)] if asked.healthy else []
    asked.work.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(asked.jobs) as pool:
        list(
            pool.map(
                lambda k: train(asked.stream, asked.data, asked.start, asked.work, k, asked.folds, more),
                range(asked.folds),
            )
        )
    if asked.train_only:
        return
    calibrate(asked.stream, asked.work, asked.folds)
    with ThreadPoolExecutor(asked.jobs) as pool:
        parts = pool.map(
            lambda fold: answer(asked.stream, asked.data, asked.work, fold, asked.healthy), range(asked.folds)
        )
        rows = [row for part in parts for row in part]
    columns = ["fold", "source", "group", "path", "x", "y", "class", "found", "kind", "scale_source", "predicted"]
    columns += ["confidence", "unknown", *load_taxonomy(asked.stream).names]
    with gzip.open(asked.work / f"{asked.stream}.csv.gz", "wt", newline="") as handle:
        writer = csv.DictWriter(handle, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} answers: {asked.work / f'{asked.stream}.csv.gz'}")


if __name__ == "__main__":
    main()
