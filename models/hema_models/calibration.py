"""Calibrated probabilities: temperature, thresholds of unknown, and how well they hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def softmax(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities (N, C) of tempered logits."""
    tempered = np.asarray(logits, np.float64) / temperature
    exponentials = np.exp(tempered - tempered.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def fit_temperature(logits: Floats, allowed: NDArray[np.bool_], prior: Floats | None = None) -> float:
    """Find the temperature of least negative log-likelihood (Guo et al., ICML 2017).

    Args:
        logits: (N, C) of pictures that were not trained on; allowed: (N, C) classes that each label leaves possible.
        prior: (C,) added to the tempered logits.
    """
    from scipy.optimize import minimize_scalar

    added = 0.0 if prior is None else np.asarray(prior, np.float64)

    def loss(log_temperature: float) -> float:
        probability = softmax(np.asarray(logits, np.float64) / np.exp(log_temperature) + added)
        each = -np.log(np.maximum((probability * allowed).sum(axis=1), 1e-12))
        return float(each.mean())

    found = minimize_scalar(loss, bounds=(np.log(0.2), np.log(10.0)), method="bounded")
    return round(float(np.exp(found.x)), 4)


def fit_thresholds(
    confidence: Floats, predicted: NDArray[np.integer], correct: NDArray[np.bool_], classes: int, wanted: float = 0.9
) -> NDArray[np.float64]:
    """Find, for each predicted class, the least confidence at or above which ``wanted`` of the answers are right.

    A class with fewer than 20 answers takes the threshold of all together; none goes beyond 0.9.
    """
    overall = _least(confidence, correct, wanted)
    out = np.full(classes, overall)
    for position in range(classes):
        own = predicted == position
        if own.sum() >= 20:
            out[position] = _least(confidence[own], correct[own], wanted)
    return out.round(3)


def _least(confidence: Floats, correct: NDArray[np.bool_], wanted: float, most: float = 0.9) -> float:
    order = np.argsort(-confidence)
    right = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(right >= wanted)
    if not len(good):
        return most
    return float(min(confidence[order][good[-1]], most)) if good[-1] < len(order) - 1 else 0.3


def expected_calibration_error(confidence: Floats, correct: NDArray[np.bool_], bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal bins, weighted by their size."""
    which = np.minimum((np.asarray(confidence) * bins).astype(int), bins - 1)
    gaps = [
        abs(float(confidence[which == b].mean()) - float(correct[which == b].mean())) * (which == b).sum()
        for b in np.unique(which)
    ]
    return float(sum(gaps) / max(len(which), 1))


def risk_coverage(
    confidence: Floats, correct: NDArray[np.bool_], at: Sequence[float] = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.3)
) -> list[tuple[float, float]]:
    """Share kept and error rate among the kept, keeping the most confident."""
    order = np.argsort(-np.asarray(confidence), kind="stable")
    counts = [max(round(share * len(order)), 1) for share in at]
    return [
        (share, 1 - float(np.asarray(correct)[order[:count]].mean())) for share, count in zip(at, counts, strict=True)
    ]
