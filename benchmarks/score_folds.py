"""Scores the table that benchmarks/folds.py writes.

python benchmarks/score_folds.py FOLDS/wbc.csv.gz
python benchmarks/score_folds.py FOLDS/rbc.csv.gz --data DATA/rbc
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from hema_models.calibration import expected_calibration_error, fit_thresholds, risk_coverage
from hema_models.evaluation.classification import MERGED, balanced_accuracy, bootstrap, macro_f1, recalls, right
from hema_models.training.canvas import background_colour
from hema_models.training.crops import HEALTHY, STREAMS

from hema_stream.core.taxonomy import Taxonomy, load_taxonomy

MALARIA = ("malaria_infected", "uninfected")
NEIGHBOURS = 5


class Answers:
    """The rows of a table as arrays.

    Attributes:
        label, said, source, group, path: (N,) names; fold: (N,) int.
        probabilities: (N, C) in the taxonomy's order; confidence: (N,) of the named class; sure: (N,) of its group.
        right: (N,) bool, whether what was said is among what the label leaves possible.
        telling: (N,) bool, whether ``right`` says something of the class named: a healthy person's red cell is always
            right where it is called neither sickle nor infected.
    """

    def __init__(self, rows: list[dict[str, str]], stream: str) -> None:
        taxonomy = load_taxonomy(stream)
        names = taxonomy.names
        rows = [row for row in rows if row["class"] not in STREAMS[stream].dropped]
        self.label, self.said, self.source, self.group, self.path = (
            np.array([row[key] for row in rows]) for key in ("class", "predicted", "source", "group", "path")
        )
        self.fold = np.array([int(row["fold"]) for row in rows])
        self.probabilities = np.array([[float(row[name] or 0) for name in names] for row in rows])
        self.confidence = np.array([float(row["confidence"]) for row in rows])
        self.right = np.array([right(a, b, stream) for a, b in zip(self.label, self.said, strict=True)])
        self.best = np.array([names.index(name) if name in names else -1 for name in self.said])
        self.sure = _of_parent(taxonomy, self.probabilities, self.best)
        excluded = np.isin(self.said, STREAMS[stream].excludes.get(HEALTHY, ()))
        self.telling = (self.best >= 0) & ((self.label != HEALTHY) | excluded)

    def unknown(self, rows: np.ndarray, classes: int) -> np.ndarray:
        """Whether each of ``rows`` is unknown, with thresholds fitted on the other folds' own answers."""
        out = np.zeros(len(rows), bool)
        own = ~np.isin(self.source, ("chula_wbc",))
        for fold in np.unique(self.fold[rows]):
            others = own & self.telling & (self.fold != fold)
            limits = fit_thresholds(self.sure[others], self.best[others], self.right[others], classes)
            here = self.fold[rows] == fold
            out[here] = self.sure[rows][here] < limits[self.best[rows][here]]
        return out

    def thresholds(self, names: Sequence[str]) -> dict[str, float]:
        """Thresholds of unknown fitted on all folds' own answers, for a model trained on everything."""
        own = ~np.isin(self.source, ("chula_wbc",)) & self.telling
        limits = fit_thresholds(self.sure[own], self.best[own], self.right[own], len(names))
        return dict(zip(names, limits.tolist(), strict=True))


def _of_parent(taxonomy: Taxonomy, probabilities: np.ndarray, best: np.ndarray) -> np.ndarray:
    parents = np.array([c.parent for c in taxonomy.classes])
    return np.array(
        [p[parents == parents[b]].sum() if b >= 0 else 0.0 for p, b in zip(probabilities, best, strict=True)]
    )


def line(answers: Answers, rows: np.ndarray, what: str) -> None:
    label, hits = answers.label[rows].tolist(), answers.right[rows].tolist()
    low, high = bootstrap(label, hits)
    ece = expected_calibration_error(answers.confidence[rows], answers.right[rows])
    print(f"{what}: {len(rows)} cells, {len(set(label))} labels, accuracy {np.mean(hits):.3f}")
    print(f"  calibration error {ece:.3f}")
    print(f"  balanced accuracy {balanced_accuracy(label, hits):.3f} (95% {low:.3f} to {high:.3f})")
    print("  " + ", ".join(f"{name} {share:.2f} ({n})" for name, (share, n) in recalls(label, hits).items()))


def kept(answers: Answers, rows: np.ndarray, classes: int) -> None:
    unknown = answers.unknown(rows, classes)
    hits, share = answers.right[rows], 1 - unknown.mean()
    print(f"  unknown: accuracy {hits.mean():.3f} of all, {hits[~unknown].mean():.3f} of the {share:.1%} kept")


def curve(answers: Answers, rows: np.ndarray) -> None:
    points = risk_coverage(answers.confidence[rows], answers.right[rows])
    print("  accuracy of the most confident: " + ", ".join(f"{share:.0%} {1 - risk:.3f}" for share, risk in points))


def white(answers: Answers) -> None:
    classes = len(load_taxonomy("wbc").names)
    told = np.flatnonzero((answers.source == "pbc_barcelona") & (answers.label != "neutrophil"))
    line(answers, told, "pbc_barcelona, stage told")
    label = [MERGED.get(name, name) for name in answers.label[told]]
    said = [MERGED.get(name, name) for name in answers.said[told]]
    hits = [a == b for a, b in zip(label, said, strict=True)]
    low, high = bootstrap(label, hits)
    print(f"  merged: balanced accuracy {balanced_accuracy(label, hits):.3f} (95% {low:.3f} to {high:.3f})")
    kept(answers, told, classes)
    for source in sorted(set(answers.source) - {"pbc_barcelona"}):
        rows = np.flatnonzero(answers.source == source)
        line(answers, rows, source)
        kept(answers, rows, classes)
        curve(answers, rows)


def red(answers: Answers, data: Path) -> None:
    classes = len(load_taxonomy("rbc").names)
    shapes = np.flatnonzero(answers.source == "chula_rbc12")
    found = shapes[answers.said[shapes] != "missed"]
    names = sorted(set(answers.label[shapes]))
    for rows, what in ((shapes, "missed cells counted as wrong"), (found, "without missed cells")):
        scores = macro_f1(answers.label[rows].tolist(), answers.said[rows].tolist(), names)
        print(
            f"chula_rbc12, {what}: {len(rows)} cells, macro F1 {np.mean(list(scores.values())):.3f} over {len(names)}"
        )
        print("  " + ", ".join(f"{name} {value:.2f}" for name, value in scores.items()))
    print(f"  missed: {1 - len(found) / len(shapes):.1%}")
    line(answers, found, "chula_rbc12, found")
    kept(answers, found, classes)
    for source in sorted(set(answers.source) - {"chula_rbc12"}):
        rows = np.flatnonzero((answers.source == source) & (answers.best >= 0))
        if HEALTHY in answers.label[rows]:
            falsely(answers, rows, source, classes)
            continue
        line(answers, rows, source)
        if set(answers.label[rows]) <= set(MALARIA):
            vote = colour_vote(answers, rows, data)
            print(f"  a vote on background colour: balanced accuracy {vote:.3f}")


def falsely(answers: Answers, rows: np.ndarray, source: str, classes: int) -> None:
    """Of red cells known to be neither: how many are called sickle or infected, and how many for certain."""
    unknown = answers.unknown(rows, classes)
    for name in STREAMS["rbc"].excludes[HEALTHY]:
        called = answers.said[rows] == name
        print(f"{source}, {len(rows)} cells that are not {name}: {called.mean():.2%} called so, ", end="")
        print(f"{(called & ~unknown).mean():.2%} above the threshold")


def colour_vote(answers: Answers, rows: np.ndarray, data: Path) -> float:
    """Balanced accuracy of the nearest backgrounds' majority, out of fold."""
    colours = []
    for path in answers.path[rows]:
        pixels = cv2.imread(str(data / path.removeprefix("data/")))
        colours.append(background_colour(pixels[..., ::-1]).astype(float))
    colour, label, fold = np.array(colours), answers.label[rows], answers.fold[rows]
    said = []
    for row in range(len(rows)):
        others = np.flatnonzero(fold != fold[row])
        nearest = others[np.argsort(((colour[others] - colour[row]) ** 2).sum(1), kind="stable")[:NEIGHBOURS]]
        values, counts = np.unique(label[nearest], return_counts=True)
        said.append(values[counts.argmax()])
    return balanced_accuracy(label.tolist(), (np.array(said) == label).tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--data", type=Path)
    asked = parser.parse_args()
    with gzip.open(asked.table, "rt", newline="") as handle:
        rows = list(csv.DictReader(handle))
    stream = "wbc" if "blast" in rows[0] else "rbc"
    answers = Answers(rows, stream)
    if stream == "wbc":
        white(answers)
    else:
        red(answers, asked.data)
    print(f"thresholds fitted on all folds: {answers.thresholds(load_taxonomy(stream).names)}")


if __name__ == "__main__":
    main()
