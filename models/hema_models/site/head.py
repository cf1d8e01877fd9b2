"""A site's head: a correction of the network's answers, fitted on cells that people named.

The correction is linear in the features, standardised by the site's own mean and deviation, and starts from nothing,
with a Gaussian prior on weights and bias. Among the classes of which cells were named it is free. Of the other classes
nothing is known, and without care they would be swallowed by the named ones; so they keep the network's logits, and
all named classes together gain one number over them, kept small by its own prior.
A label is taken to be wrong once in ten, so that no single cell can pull without bound (Natarajan et al., NIPS 2013).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hema_models.site.statistics import Floats, SiteStatistics

WRONG = 0.1
"""Share of labels that is taken to be wrong."""
BIAS_SHARE = 0.1
"""Penalty of the bias, as a share of that of the weights."""
GAIN_PENALTY = 0.2
"""Penalty of half the squared gain: over laboratories left out, recall of a class of which nobody named a cell fell
from 0.53 to 0.11 without it and to 0.31 with it, for two points of balanced accuracy of the named ones."""
NEWCOMER = 0.02
"""Probability of a class that the network does not know, before the site's own cells speak for it."""
STEPS = 150
BACKGROUND = 0.1
"""Weight of a class's mean against a class of the site's own, beside 1 for each label: ten cells of a class that the
network was not taught were found again in 0.8 to 0.97, and cost the others under a point and a half."""
SURE = 0.9
"""Probability at which the mean of the cells that the network calls by a class is taken to be called so."""
SMALLEST = 1e-6
"""Probability under which a network's answer tells nothing more."""


@dataclass(frozen=True, eq=False)
class SiteHead:
    """A fitted correction.

    Attributes:
        weights: (F, C + K) float32, of features as ``SiteStatistics.standardise`` gives them; bias: (C + K,); both are
            zero for classes of which no cell was named.
        named: (C + K,) bool, the classes of which cells were named; those of the site's own always are.
        gain: what the named ones of the network's classes gain together over the others.
        temperature: divides the corrected answers.
        newcomers: K, classes of the site's own, after the network's C.
    """

    weights: Floats
    bias: Floats
    named: NDArray[np.bool_]
    gain: float
    temperature: float
    newcomers: int

    def correct(self, answers: NDArray[np.floating], standardised: Floats) -> Floats:
        """Log-probabilities (N, C + K), not normalised, from the network's (N, C) and features (N, F)."""
        moved = np.asarray(standardised, np.float64) @ self.weights  # so exact that a row does not see its neighbours
        moved += self.bias
        raw = _shifted(with_newcomers(answers, self.newcomers), moved, self.among, self.gain)
        return np.asarray(raw / self.temperature, np.float32)

    @property
    def among(self) -> NDArray[np.bool_]:
        """(C + K,) bool, the network's classes that share their probability out anew."""
        return _of_the_network(self.named, self.newcomers)


def answers_of(probabilities: NDArray[np.floating]) -> Floats:
    """A network's probabilities (N, C) as the log-probabilities that a head corrects."""
    return np.log(np.maximum(np.asarray(probabilities, np.float32), np.float32(SMALLEST)))


def with_newcomers(answers: NDArray[np.floating], newcomers: int) -> NDArray[np.float64]:
    """Append columns for classes that the network does not know, each at ``NEWCOMER`` of the whole."""
    answers = np.asarray(answers, np.float64)
    top = answers.max(axis=1, keepdims=True)
    whole = top + np.log(np.exp(answers - top).sum(axis=1, keepdims=True))
    return np.concatenate([answers, np.repeat(whole + np.log(NEWCOMER), newcomers, axis=1)], axis=1)


@dataclass(frozen=True, eq=False)
class Background:
    """What the site's cells at large look like, as the network names them: a class of the site's own is none of those.

    Attributes:
        classes: (M,) positions; answers: (M, C) log-probabilities; standardised: (M, F).
    """

    classes: NDArray[np.intp]
    answers: Floats
    standardised: Floats

    def unnamed(self, named: NDArray[np.bool_]) -> Background:
        """Only of classes of which no cell was named: where there are cells, they speak for themselves."""
        rows = ~named[self.classes]
        return Background(self.classes[rows], self.answers[rows], self.standardised[rows])


def background_of(statistics: SiteStatistics) -> Background:
    """One row a class that the site shows: its mean features, and an answer that names it."""
    present = np.flatnonzero(np.isfinite(statistics.means[:, 0]))
    share = np.full((len(present), len(statistics.counts)), (1 - SURE) / max(len(statistics.counts) - 1, 1))
    share[np.arange(len(present)), present] = SURE
    return Background(present, answers_of(share), statistics.standardise(statistics.means[present]))


def fit_head(
    answers: NDArray[np.floating],
    standardised: Floats,
    allowed: NDArray[np.bool_],
    penalty: float,
    background: Background | None = None,
) -> SiteHead:
    """Fit the correction on N cells that people named (maximum a posteriori, L-BFGS).

    Classes weigh alike however many cells were named of each. The weights lie in the span of the cells' features, so
    the search has no more dimensions than cells.

    Args:
        answers: (N, C) the network's log-probabilities; standardised: (N, F).
        allowed: (N, C + K) classes that each label leaves possible.
        penalty: of half the squared weights.
        background: what a class of the site's own is not.
    """
    newcomers = allowed.shape[1] - answers.shape[1]
    named: NDArray[np.bool_] = np.asarray(allowed.any(axis=0))
    named[answers.shape[1] :] = True
    weights = _weights(allowed)
    if background is not None and newcomers:
        background = background.unnamed(named)
        answers = np.concatenate([answers, background.answers])
        standardised = np.concatenate([standardised, background.standardised])
        theirs = np.arange(allowed.shape[1]) < answers.shape[1]
        allowed = np.concatenate([allowed, np.tile(theirs, (len(background.answers), 1))])
        weights = np.concatenate([weights, np.full(len(background.answers), BACKGROUND)])
    left, singular, right = np.linalg.svd(np.asarray(standardised, np.float64), full_matrices=False)
    kept = singular > 1e-6 * max(float(singular.max(initial=0.0)), 1e-12)
    task = _Task(
        with_newcomers(answers, newcomers), left[:, kept] * singular[kept], allowed, weights, named, newcomers, penalty
    )
    inner, bias, gain = task.search()
    moves = np.zeros((standardised.shape[1], len(named)), np.float32)
    moves[:, named] = right[kept].T @ inner
    full = np.zeros(len(named), np.float32)
    full[named] = bias
    return SiteHead(moves, full, named, gain, 1.0, newcomers)


def _of_the_network(named: NDArray[np.bool_], newcomers: int) -> NDArray[np.bool_]:
    among = named.copy()
    among[len(named) - newcomers :] = False
    return among


def _shifted(
    base: NDArray[np.float64], moved: NDArray[np.float64], among: NDArray[np.bool_], gain: float
) -> NDArray[np.float64]:
    """Move logits (N, C + K); those ``among`` keep their summed probability but for the gain."""
    out = base + moved
    if among.any():
        whole, now = _log_sum(base[:, among]), _log_sum(out[:, among])
        out[:, among] += whole - now + gain
    return out


def _log_sum(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    top = logits.max(axis=1, keepdims=True)
    return np.asarray(top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True)))


@dataclass(frozen=True, eq=False)
class _Task:
    """What is minimised: weighted negative log-likelihood of the labels and the priors."""

    base: NDArray[np.float64]
    inner: NDArray[np.float64]
    allowed: NDArray[np.bool_]
    weights: NDArray[np.float64]
    named: NDArray[np.bool_]
    newcomers: int
    penalty: float

    def search(self) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Weights (R, M) within the span, bias (M,) of the M named classes, and the gain."""
        from scipy.optimize import minimize

        size = (self.inner.shape[1] + 1) * int(self.named.sum()) + 1
        found = minimize(self._loss, np.zeros(size), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
        return self._apart(found.x)

    def _apart(self, flat: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        rank, moving = self.inner.shape[1], int(self.named.sum())
        return flat[: rank * moving].reshape(rank, moving), flat[rank * moving : -1], float(flat[-1])

    def _loss(self, flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w, b, gain = self._apart(flat)
        among = _of_the_network(self.named, self.newcomers)
        moved = np.zeros_like(self.base)
        moved[:, self.named] = self.inner @ w + b
        logits = _shifted(self.base, moved, among, gain)
        p = np.exp(logits - _log_sum(logits))
        right = (p * self.allowed).sum(axis=1)
        told = (1 - WRONG) * right + WRONG * self.allowed.mean(axis=1)
        pull = (self.weights * (1 - WRONG) / told)[:, None] * p * (right[:, None] - self.allowed)
        together = pull[:, among].sum(axis=1, keepdims=True)
        if among.any():
            share = np.exp(logits[:, among] - _log_sum(logits[:, among]))
            pull[:, among] -= share * together
        slope = pull[:, self.named]
        priors = (w**2).sum() * self.penalty + (b**2).sum() * BIAS_SHARE * self.penalty + gain**2 * GAIN_PENALTY
        value = -(self.weights * np.log(told)).sum() + priors / 2
        return float(value), np.concatenate(
            [
                (self.inner.T @ slope + self.penalty * w).ravel(),
                slope.sum(axis=0) + BIAS_SHARE * self.penalty * b,
                [together.sum() + GAIN_PENALTY * gain],
            ]
        )


def _weights(allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weight of each cell (N,): one a label in all, as a laboratory may name hundreds of one and three of another."""
    _, which, counts = np.unique(allowed, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[which.ravel()], np.float64)
