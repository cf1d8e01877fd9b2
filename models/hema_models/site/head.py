"""A site's head: a correction of the network's answers, fitted on cells that people named.

The correction is linear in the features, standardised by the site's own mean and deviation, and starts from nothing:
``answers + X W + b`` with a Gaussian prior on W and b. Classes of which nobody named a cell so keep the network's head.
A label is taken to be wrong once in ten, so that no single cell can pull without bound (Natarajan et al., NIPS 2013).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hema_models.site.statistics import Floats

WRONG = 0.1
"""Share of labels that is taken to be wrong."""
BIAS_SHARE = 0.1
"""Penalty of the bias, as a share of that of the weights."""
NEWCOMER = 0.02
"""Probability of a class that the network does not know, before the site's own cells speak for it."""
STEPS = 150


@dataclass(frozen=True, eq=False)
class SiteHead:
    """A fitted correction.

    Attributes:
        weights: (F, C + K) float32, of features as ``SiteStatistics.standardise`` gives them; bias: (C + K,).
        temperature: divides the corrected answers.
        newcomers: K, classes of the site's own, after the network's C.
    """

    weights: Floats
    bias: Floats
    temperature: float
    newcomers: int

    def correct(self, answers: NDArray[np.floating], standardised: Floats) -> Floats:
        """Log-probabilities (N, C + K), not normalised, from the network's (N, C) and features (N, F)."""
        raw = with_newcomers(answers, self.newcomers) + standardised @ self.weights + self.bias
        return np.asarray(raw / self.temperature, np.float32)


def with_newcomers(answers: NDArray[np.floating], newcomers: int) -> NDArray[np.float64]:
    """Append columns for classes that the network does not know, each at ``NEWCOMER`` of the whole."""
    answers = np.asarray(answers, np.float64)
    top = answers.max(axis=1, keepdims=True)
    whole = top + np.log(np.exp(answers - top).sum(axis=1, keepdims=True))
    return np.concatenate([answers, np.repeat(whole + np.log(NEWCOMER), newcomers, axis=1)], axis=1)


def fit_head(
    answers: NDArray[np.floating],
    standardised: Floats,
    allowed: NDArray[np.bool_],
    penalty: float,
) -> SiteHead:
    """Fit the correction on N cells that people named (maximum a posteriori, L-BFGS).

    Classes weigh alike however many cells were named of each. The weights lie in the span of the cells' features, so
    the search has no more dimensions than cells.

    Args:
        answers: (N, C) the network's log-probabilities; standardised: (N, F).
        allowed: (N, C + K) classes that each label leaves possible.
        penalty: of half the squared weights.
    """
    newcomers = allowed.shape[1] - answers.shape[1]
    left, singular, right = np.linalg.svd(np.asarray(standardised, np.float64), full_matrices=False)
    kept = singular > 1e-6 * max(float(singular.max(initial=0.0)), 1e-12)
    inner, bias = _search(
        with_newcomers(answers, newcomers), left[:, kept] * singular[kept], allowed, _weights(allowed), penalty
    )
    return SiteHead((right[kept].T @ inner).astype(np.float32), bias.astype(np.float32), 1.0, newcomers)


def _weights(allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weight of each cell (N,): one a label in all, as a laboratory may name hundreds of one and three of another."""
    _, which, counts = np.unique(allowed, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[which.ravel()], np.float64)


def _search(
    base: NDArray[np.float64],
    inner: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    weights: NDArray[np.float64],
    penalty: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from scipy.optimize import minimize

    size, classes = inner.shape[1], base.shape[1]
    uniform = allowed.mean(axis=1)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w, b = flat[: size * classes].reshape(size, classes), flat[size * classes :]
        logits = base + inner @ w + b
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        right = (p * allowed).sum(axis=1)
        told = (1 - WRONG) * right + WRONG * uniform
        pull = (weights * (1 - WRONG) / told)[:, None] * p * (right[:, None] - allowed)
        value = -(weights * np.log(told)).sum() + penalty / 2 * ((w**2).sum() + BIAS_SHARE * (b**2).sum())
        slope = [(inner.T @ pull + penalty * w).ravel(), pull.sum(axis=0) + BIAS_SHARE * penalty * b]
        return float(value), np.concatenate(slope)

    found = minimize(loss, np.zeros((size + 1) * classes), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    return found.x[: size * classes].reshape(size, classes), found.x[size * classes :]
