"""Scoring of predicted classes against labels, some of which leave several classes possible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_models.calibration import expected_calibration_error, risk_coverage
from hema_models.training.crops import STREAMS
from hema_stream.core.taxonomy import load_taxonomy

MERGED = {
    "neutrophil_band": "neutrophil",
    "neutrophil_segmented": "neutrophil",
    "promyelocyte": "immature",
    "myelocyte": "immature",
    "metamyelocyte": "immature",
}


def recalls(labels: Sequence[str], correct: Sequence[bool]) -> dict[str, tuple[float, int]]:
    """Share right and number, by label."""
    out = {}
    for label in sorted(set(labels)):
        own = [right for name, right in zip(labels, correct, strict=True) if name == label]
        out[label] = (float(np.mean(own)), len(own))
    return out


def balanced_accuracy(labels: Sequence[str], correct: Sequence[bool]) -> float:
    """Mean recall over the labels that occur."""
    return float(np.mean([share for share, _ in recalls(labels, correct).values()])) if labels else float("nan")


def macro_f1(labels: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
    """F1 by class; a missed cell counts against the recall of its label."""
    out = {}
    for name in classes:
        true = sum(a == name and b == name for a, b in zip(labels, predicted, strict=True))
        called, there = sum(b == name for b in predicted), sum(a == name for a in labels)
        out[name] = 2 * true / (called + there) if called + there else 0.0
    return out


def right(label: str, predicted: str, stream: str) -> bool:
    """Whether a prediction is among what a label leaves possible."""
    names = load_taxonomy(stream).names
    return predicted in names and bool(STREAMS[stream].allowed(label, names)[names.index(predicted)])


def bootstrap(labels: Sequence[str], correct: Sequence[bool], draws: int = 300, seed: int = 0) -> tuple[float, float]:
    """Percentile 95% interval of the balanced accuracy, pictures drawn with replacement."""
    rng = np.random.default_rng(seed)
    names, hits = np.array(labels), np.array(correct, bool)
    values = []
    for _ in range(draws):
        rows = rng.integers(0, len(names), len(names))
        values.append(np.mean([hits[rows][names[rows] == name].mean() for name in np.unique(names[rows])]))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def summarise(stream: str, rows: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Lay out the scores by source."""
    scored = [
        (row, answer)
        for row, answer in zip(rows, answers, strict=True)
        if row["class"] not in STREAMS[stream].dropped and (row["class"] in _known(stream))
    ]
    for source in sorted({str(row.get("source", "all")) for row, _ in scored}):
        own = [(row, answer) for row, answer in scored if str(row.get("source", "all")) == source]
        yield from _source_lines(stream, source, own)


def _known(stream: str) -> frozenset[str]:
    kind = STREAMS[stream]
    return frozenset(load_taxonomy(stream).names) | frozenset(kind.partial) | frozenset(kind.excludes)


def _source_lines(
    stream: str, source: str, own: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> Iterator[str]:
    labels = [str(row["class"]) for row, _ in own]
    predicted = [str(answer["predicted"]) for _, answer in own]
    correct = [right(label, said, stream) for label, said in zip(labels, predicted, strict=True)]
    low, high = bootstrap(labels, correct)
    yield (
        f"{source}: {len(own)} cells, balanced accuracy {balanced_accuracy(labels, correct):.3f} "
        f"(95% {low:.3f} to {high:.3f}) over {len(set(labels))} labels, accuracy {np.mean(correct):.3f}"
    )
    merged = [MERGED.get(label, label) for label in labels]
    together = [
        c or MERGED.get(label, label) == MERGED.get(said, said)
        for c, label, said in zip(correct, labels, predicted, strict=True)
    ]
    if stream == "wbc":
        yield f"  merged (neutrophils, immature stages): {balanced_accuracy(merged, together):.3f}"
    if stream == "rbc" and len(set(labels)) > 2:
        yield from _f1_lines(labels, predicted)
    yield from _confidence_lines(own, correct)
    yield "  " + ", ".join(f"{name} {share:.2f} ({n})" for name, (share, n) in recalls(labels, correct).items())


def _f1_lines(labels: Sequence[str], predicted: Sequence[str]) -> Iterator[str]:
    classes = sorted(set(labels))
    whole = macro_f1(labels, predicted, classes)
    found = [(a, b) for a, b in zip(labels, predicted, strict=True) if b != "missed"]
    seen = macro_f1([a for a, _ in found], [b for _, b in found], classes)
    yield (
        f"  macro F1 over {len(classes)} classes {np.mean(list(whole.values())):.3f} with missed cells as wrong, "
        f"{np.mean(list(seen.values())):.3f} without them"
    )
    yield "  F1 " + ", ".join(f"{name} {value:.2f}" for name, value in whole.items())


def _confidence_lines(
    own: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], correct: Sequence[bool]
) -> Iterator[str]:
    confidence = np.array([float(answer["confidence"]) for _, answer in own])
    hits = np.array(correct, bool)
    sure = np.array([not int(answer["unknown"]) for _, answer in own])
    kept: NDArray[np.bool_] = hits[sure]
    accuracy = f"{kept.mean():.3f}" if len(kept) else "n/a"
    yield (
        f"  calibration error {expected_calibration_error(confidence, hits):.3f}; "
        f"accuracy {hits.mean():.3f} of all, {accuracy} of the {sure.mean():.1%} that are not unknown"
    )
    curve = ", ".join(f"{share:.0%} {1 - risk:.3f}" for share, risk in risk_coverage(confidence, hits))
    yield f"  accuracy of the most confident: {curve}"
