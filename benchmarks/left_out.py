"""Answers of networks that never saw the laboratory: trained with laboratories left out in turn, put into one table.

python benchmarks/left_out.py wbc --data DATA/wbc --start efficientnet.safetensors --work RUNS
python benchmarks/left_out.py rbc --data DATA/rbc --start efficientnet.safetensors --work RUNS \\
    --healthy DATA/detection/train.json

White cells' laboratories are left out one at a time. So that this costs hours and not days, two networks that see none
of them are trained first and averaged; from that mean each laboratory's network is trained on, with all others.
A group whose weights lie in RUNS already is not trained again. RUNS/STREAM.csv.gz holds each left-out cell once, with
probabilities under the prior and the temperature of the shipped model's card (or --card); which temperature the
left-out cells themselves ask for is printed. ``hema-stream evaluate suite
--left-out RUNS`` scores it.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
from hema_models.calibration import fit_temperature, softmax
from hema_models.cards import ModelCard, find_card
from hema_models.training.crops import STREAMS

from hema_stream.core.taxonomy import load_taxonomy

GROUPS = {
    "wbc": {
        "raabin_wbc": ("raabin_wbc",),
        "chula_wbc": ("chula_wbc",),
        "bccd": ("bccd",),
        "tecom": ("tecom",),
        "cellavision_blog": ("cellavision_blog",),
        "lmu": ("lmu_aml", "lmu_thumbs"),
    },
    "rbc": {"A": ("bccd", "abhi_slides"), "B": ("raabin", "pbc", "iml_malaria")},
}
FOLDED = {"wbc": ("pbc_barcelona", 5, []), "rbc": ("chula_rbc12", 2, ["--piece", "100000"])}
"""Besides, each group leaves out a fold of one source: the only one with all stages, or with all shapes."""
ONE_FOLD = ("wbc",)
"""Streams whose groups all leave out the first fold, since they go on from networks that did not see it."""
COMMON = {"wbc": (("0", "0.0"), ("1", "0.5"))}
"""Seed and share of swapped styles of the networks that see none of the groups' laboratories."""
LEFT_PASSES = {"wbc": ("8", "3")}
"""Passes of these, and of each group's own network after them."""
PROGRAM = str(Path(sys.executable).with_name("hema-stream"))


def train(stream: str, data: Path, start: Path, work: Path, number: int, group: str, more: list[str]) -> None:
    """Train a group's network on all that it does not leave out."""
    out = work / f"{stream}-{group}.safetensors"
    if out.exists():
        return
    source, folds, pieces = FOLDED[stream]
    words = [w for name in GROUPS[stream][group] for w in ("--left-out", name)]
    words += ["--fold-of", source, "--folds", str(folds), "--fold", str(number), *pieces]
    command = [PROGRAM, "train", stream, "--data", str(data), "--start", str(start), "--out", str(out)]
    with (work / f"{stream}-{group}.log").open("w") as log:
        subprocess.run([*command, *words, *more], check=True, stdout=log)


def common_start(stream: str, data: Path, start: Path, work: Path) -> Path:
    """Train what all groups of a stream begin from, where there is such a thing; else the start itself."""
    if stream not in COMMON:
        return start
    mean = work / f"{stream}-common.safetensors"
    if mean.exists():
        return mean
    source, folds, _ = FOLDED[stream]
    every = [word for labs in GROUPS[stream].values() for name in labs for word in ("--left-out", name)]
    parts = []
    for seed, styles in COMMON[stream]:
        parts.append(work / f"{stream}-common-{seed}.safetensors")
        words = ["--fold-of", source, "--folds", str(folds), "--fold", "0", "--passes", LEFT_PASSES[stream][0]]
        drawn = ["--seed", seed, "--styles", styles]
        command = [PROGRAM, "train", stream, "--data", str(data), "--start", str(start), "--out", str(parts[-1])]
        subprocess.run([*command, *words, *drawn, *every], check=True)
    subprocess.run([PROGRAM, "train", "average", *map(str, parts), "--out", str(mean)], check=True)
    return mean


def held_out(stream: str, work: Path, group: str) -> list[dict[str, str]]:
    """Rows that a group's network did not see, with its logits."""
    with gzip.open(work / f"{stream}-{group}.heldout.csv.gz", "rt", newline="") as handle:
        return list(csv.DictReader(handle))


def table(stream: str, rows: list[dict[str, str]], card: ModelCard) -> list[dict[str, str]]:
    """Name each cell's class as the product would."""
    taxonomy = load_taxonomy(stream)
    names = taxonomy.learnt
    logits = np.array([[float(row[name]) for name in names] for row in rows])
    groups = np.array([row.pop("run") for row in rows])
    allowed = np.array([STREAMS[stream].allowed(row["class"], names) for row in rows])
    prior = np.array([card.prior.get(name, 0.0) for name in names])
    for group in (None, *np.unique(groups)):
        told = allowed.any(axis=1) & ((groups == group) if group else True)
        print(f"{group or 'all'}: {told.sum()} cells ask for {fit_temperature(logits[told], allowed[told], prior)}")
    probabilities = np.zeros((len(rows), len(taxonomy.names)), np.float32)
    probabilities[:, [taxonomy.index(name) for name in names]] = softmax(logits / card.temperature + prior)
    best = taxonomy.best(probabilities)
    unknown = taxonomy.unknown(probabilities, best)
    return [
        {
            "group": str(group),
            **{key: row[key] for key in ("source", "name", "class")},
            "predicted": taxonomy.names[b],
            "confidence": f"{p[b]:.4f}",
            "unknown": str(int(u)),
            **{name: f"{value:.4f}" for name, value in zip(taxonomy.names, p, strict=True)},
        }
        for row, group, b, u, p in zip(rows, groups, best, unknown, probabilities, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stream", choices=tuple(GROUPS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--healthy", type=Path)
    parser.add_argument("--group", action="append", help="only this group; may be repeated")
    parser.add_argument(
        "--card", default="", help="card whose prior and temperature are taken; the stream's own where none is named"
    )
    asked, more = parser.parse_known_args()
    more += ["--healthy", str(asked.healthy)] if asked.healthy else []
    asked.work.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str]] = []
    start = common_start(asked.stream, asked.data, asked.start, asked.work)
    if asked.stream in LEFT_PASSES:
        more += ["--passes", LEFT_PASSES[asked.stream][1], "--styles", "0.5"]
    for number, group in enumerate(GROUPS[asked.stream]):
        if asked.group and group not in asked.group:
            continue
        fold = 0 if asked.stream in ONE_FOLD else number
        train(asked.stream, asked.data, start, asked.work, fold, group, more)
        rows += [{**row, "run": group} for row in held_out(asked.stream, asked.work, group)]
    made = table(asked.stream, rows, find_card(asked.card or asked.stream))
    out = asked.work / f"{asked.stream}.csv.gz"
    with gzip.open(out, "wt", newline="") as handle:
        writer = csv.DictWriter(handle, list(made[0]))
        writer.writeheader()
        writer.writerows(made)
    print(f"{len(made)} answers: {out}")


if __name__ == "__main__":
    main()
