"""Figures of a classifier by source: right, sure, calibrated, confused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_models.calibration import expected_calibration_error, risk_coverage
from hema_models.evaluation.answers import Answers
from hema_models.evaluation.classification import MERGED, balanced_accuracy, bootstrap, macro_f1, recalls

BINS = 10


def by_source(answers: Answers, draws: int) -> dict[str, dict[str, Any]]:
    """Source to its figures, over the cells whose label tells something; see ``scored``."""
    told = answers.of_labels()
    return {source: scored(told.chosen(told.sources == source), draws) for source in sorted(set(told.sources.tolist()))}


def scored(answers: Answers, draws: int) -> dict[str, Any]:
    """Figures of N > 0 cells.

    Args:
        draws: of the bootstrap behind ``interval``, 95%.

    Returns:
        cells, balanced_accuracy over the labels with its interval (for white cells also merged: neutrophils together,
        immature stages together), accuracy, macro_f1 where there are more than two labels, calibration_error,
        unknown (share), accuracy_kept (None where all are unknown), risk_at (share kept to share wrong),
        reliability, recall, confusion.
    """
    labels, right = answers.labels.tolist(), answers.right
    kept = right[~answers.unknown]
    out: dict[str, Any] = {
        "cells": len(answers),
        "balanced_accuracy": _rounded(balanced_accuracy(labels, right.tolist())),
        "interval": _interval(labels, right, draws),
        "accuracy": _rounded(right.mean()),
        "calibration_error": _rounded(expected_calibration_error(answers.confidence, right)),
        "unknown": _rounded(answers.unknown.mean()),
        "accuracy_kept": _rounded(kept.mean()) if len(kept) else None,
        "risk_at": {f"{share:.1f}": _rounded(risk) for share, risk in risk_coverage(answers.confidence, right)},
        "reliability": reliability(answers.confidence, right),
        "recall": {name: [_rounded(share), n] for name, (share, n) in recalls(labels, right.tolist()).items()},
        "confusion": confusion(answers),
    }
    return out | (_merged(answers, draws) if answers.stream == "wbc" else _shapes(answers))


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> list[list[float]]:
    """Mean confidence, share right and number of cells in each of ``BINS`` equal bins that hold any."""
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        [_rounded(confidence[which == b].mean()), _rounded(right[which == b].mean()), int((which == b).sum())]
        for b in np.unique(which)
    ]


def confusion(answers: Answers) -> dict[str, dict[str, int]]:
    """Label to what was said of its cells; ``unknown`` where it was, ``missed`` where no cell was found."""
    said = np.where(answers.said < 0, "missed", np.where(answers.unknown, "unknown", answers.predicted))
    return {
        str(label): dict(sorted(Counter(said[answers.labels == label].tolist()).items()))
        for label in np.unique(answers.labels)
    }


def _merged(answers: Answers, draws: int) -> dict[str, Any]:
    labels = [MERGED.get(label, label) for label in answers.labels.tolist()]
    said = [MERGED.get(name, name) for name in answers.predicted.tolist()]
    right = answers.right | (np.array(labels) == np.array(said))
    interval = _interval(labels, right, draws)
    return {"merged": _rounded(balanced_accuracy(labels, right.tolist())), "merged_interval": interval}


def _shapes(answers: Answers) -> dict[str, Any]:
    names = sorted(set(answers.labels.tolist()))
    if len(names) < 3:
        return {}
    scores = macro_f1(answers.labels.tolist(), answers.predicted.tolist(), names)
    return {"macro_f1": _rounded(np.mean(list(scores.values()))), "f1": {k: _rounded(v) for k, v in scores.items()}}


def _interval(labels: list[str], right: NDArray[np.bool_], draws: int) -> list[float]:
    low, high = bootstrap(labels, right.tolist(), draws)
    return [_rounded(low), _rounded(high)]


def _rounded(value: Any) -> float:
    return round(float(value), 4)
