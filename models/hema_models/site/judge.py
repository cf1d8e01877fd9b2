"""Whether a site's head is better than the network alone, told by the named cells, each left out in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hema_models.calibration import expected_calibration_error, fit_temperature, softmax
from hema_models.site.head import Background, SiteHead, fit_head, with_newcomers
from hema_models.site.statistics import Floats

Fit = Callable[..., SiteHead]

PENALTIES = (0.01, 0.1, 1.0)
LEFT_OUT_ALONE = 60
"""Up to so many cells each is left out alone; more are left out in ten parts."""
PARTS, CHOSEN_IN = 10, 5
MOST_WORSE, DRAWS = 0.25, 500
"""Share of draws that may speak against the head: so few cells cannot prove a gain, but they can make it likely."""
SHRINK = 20.0
"""Cells that the network's own temperature is worth beside the one fitted on the reviewed cells."""


@dataclass(frozen=True)
class Judgement:
    """What leaving reviewed cells out shows.

    Attributes:
        cells: how many; penalty: the one chosen.
        before, after: balanced accuracy of the network alone, and with the head.
        calibration_before, calibration_after: expected calibration error.
        recalls: label to cells, share right before, and after.
        worse: share of bootstrap draws of the cells, within labels, in which the head has less balanced accuracy.
        better: whether the head is offered: more balanced accuracy, or the same with a smaller loss; and ``worse`` is
            at most ``MOST_WORSE``.
    """

    cells: int
    penalty: float
    before: float
    after: float
    calibration_before: float
    calibration_after: float
    recalls: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    worse: float = 1.0
    better: bool = False


def judge(
    answers: NDArray[np.floating],
    standardised: Floats,
    allowed: NDArray[np.bool_],
    labels: NDArray[np.str_],
    background: Background | None = None,
) -> tuple[SiteHead, Judgement]:
    """Choose the penalty, fit the head on all cells, and judge it by cells left out.

    Args:
        answers: (N, C) the network's log-probabilities; standardised: (N, F).
        allowed: (N, C + K) classes that each label leaves possible; labels: N.
        background: what a class of the site's own is not.
    """
    fit = partial(fit_head, background=background)
    penalty = _chosen(answers, standardised, allowed, labels, fit)
    count = len(labels)
    parts = deal(labels, count if count <= LEFT_OUT_ALONE else PARTS)
    left_out = _left_out(answers, standardised, allowed, parts, penalty, fit)
    temperature = _temperature(left_out, allowed)
    head = fit(answers, standardised, allowed, penalty)
    head = replace(head, temperature=temperature)
    alone = with_newcomers(answers, head.newcomers)
    return head, _judgement(alone, left_out / temperature, allowed, labels, penalty)


def deal(labels: NDArray[np.str_], parts: int) -> NDArray[np.intp]:
    """Deal cells to parts so that each class is spread over them, (N,); deterministic."""
    order = np.argsort(labels, kind="stable")
    out = np.empty(len(labels), np.intp)
    out[order] = np.arange(len(labels)) % max(parts, 1)
    return out


def _chosen(
    answers: NDArray[np.floating],
    standardised: Floats,
    allowed: NDArray[np.bool_],
    labels: NDArray[np.str_],
    fit: Fit,
) -> float:
    """The penalty with the least loss on cells left out, each label weighing the same."""
    parts = deal(labels, CHOSEN_IN)
    losses = []
    for penalty in PENALTIES:
        told = _left_out(answers, standardised, allowed, parts, penalty, fit)
        losses.append(_loss(told, allowed, labels))
    return PENALTIES[int(np.argmin(losses))]


def _loss(logits: NDArray[np.floating], allowed: NDArray[np.bool_], labels: NDArray[np.str_]) -> float:
    told = (softmax(logits) * allowed).sum(axis=1)
    each = -np.log(np.maximum(told, 0.02))  # a wrong label costs no more than so much
    return float(np.mean([each[labels == name].mean() for name in _judged(labels)]))


def _judged(labels: NDArray[np.str_]) -> list[str]:
    """Labels that can be judged by leaving a cell out: of one cell alone nothing is left to learn from."""
    names, counts = np.unique(labels, return_counts=True)
    return [str(name) for name in (names[counts > 1] if (counts > 1).any() else names)]


def _left_out(
    answers: NDArray[np.floating],
    standardised: Floats,
    allowed: NDArray[np.bool_],
    parts: NDArray[np.intp],
    penalty: float,
    fit: Fit,
) -> NDArray[np.float64]:
    """Corrected answers (N, C + K) of each cell by a head that was fitted without its part."""
    out = np.empty(allowed.shape, np.float64)
    for part in np.unique(parts):
        own = parts == part
        if own.all():
            return with_newcomers(answers, allowed.shape[1] - answers.shape[1])
        head = fit(answers[~own], standardised[~own], allowed[~own], penalty)
        out[own] = head.correct(answers[own], standardised[own])
    return out


def _temperature(left_out: NDArray[np.floating], allowed: NDArray[np.bool_]) -> float:
    """Temperature of the cells left out, drawn towards 1 where they are few."""
    fitted = fit_temperature(left_out, allowed)
    share = len(left_out) / (len(left_out) + SHRINK)
    return round(float(np.exp(share * np.log(fitted))), 4)


def _judgement(
    alone: NDArray[np.floating],
    corrected: NDArray[np.floating],
    allowed: NDArray[np.bool_],
    labels: NDArray[np.str_],
    penalty: float,
) -> Judgement:
    before, after = _right(alone, allowed), _right(corrected, allowed)
    recalls = {
        str(name): (
            int((labels == name).sum()),
            float(before[labels == name].mean()),
            float(after[labels == name].mean()),
        )
        for name in np.unique(labels)
    }
    means = [float(np.mean([shares[k] for name, shares in recalls.items() if name in _judged(labels)])) for k in (1, 2)]
    gained = _loss(alone, allowed, labels) - _loss(corrected, allowed, labels)
    worse = _worse(before, after, labels)
    return Judgement(
        cells=len(labels),
        penalty=penalty,
        before=means[0],
        after=means[1],
        calibration_before=expected_calibration_error(softmax(alone).max(axis=1), before),
        calibration_after=expected_calibration_error(softmax(corrected).max(axis=1), after),
        recalls=recalls,
        worse=worse,
        better=worse <= MOST_WORSE and (means[1] > means[0] or (means[1] == means[0] and gained > 0)),
    )


def _worse(before: NDArray[np.bool_], after: NDArray[np.bool_], labels: NDArray[np.str_]) -> float:
    """Share of bootstrap draws in which balanced accuracy falls; the same draws for the same cells."""
    rng = np.random.default_rng(0)
    gain = np.zeros(DRAWS)
    for name in _judged(labels):
        own = np.flatnonzero(labels == name)
        drawn = own[rng.integers(0, len(own), (DRAWS, len(own)))]
        gain += (after[drawn].astype(np.int8) - before[drawn].astype(np.int8)).mean(axis=1)
    return float((gain < -1e-9).mean())


def _right(logits: NDArray[np.floating], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(allowed[np.arange(len(logits)), logits.argmax(axis=1)])
