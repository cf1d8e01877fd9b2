"""What a count can claim when the network that made it errs: shares and chances corrected by its known errors."""

from __future__ import annotations

from collections.abc import Iterable
from math import hypot

from hema_stream.clinical.interval import lower_limit, upper_limit
from hema_stream.core.rates import ClassRates, Rate

LEVEL = 0.95
CHANCE = 0.001
"""Chance of as many by error under which one-is-enough classes are believed: one slide in a thousand."""


def corrected(share: float, sensitivity: float, false_positive: float) -> float | None:
    """True share behind a share that was called (Rogan and Gladen, Am J Epidemiol 107:71, 1978), not clipped.

    (p + specificity - 1) / (sensitivity + specificity - 1) with specificity = 1 - false_positive, all 0..1; None where
    cells of the class are called no more often than others are.
    """
    told = sensitivity - false_positive
    return (share - false_positive) / told if told > 0 else None


def corrected_share(found: Rate, rates: ClassRates) -> float | None:
    """The same of counts, clipped to 0..1; a recall that nobody measured is taken as 1."""
    made = corrected(found.share, _sensitivity(rates), rates.false_positive.share)
    return None if made is None else min(max(made, 0.0), 1.0)


def corrected_limits(found: Rate, rates: ClassRates, level: float = LEVEL) -> tuple[float, float]:
    """Lower and upper limit, 0..1, of the true share, each one-sided at ``level``.

    Share, false positives (those of the unluckiest laboratory left out) and recall are binomials of their own. Each
    alone is moved to its exact limits, and the three distances of the corrected share are added as squares (the method
    of variance estimates recovery: Zou and Donner, Stat Med 27:1693, 2008). No random draws. (0, 1) where nothing can
    be told: no cells, or rates within whose limits cells of the class are called no more often than others are.

    Args:
        found: cells that were called this, of all that were asked, unknown ones included.
    """
    share, false, recall = found.share, rates.unlucky.share, _sensitivity(rates)
    best = corrected(share, recall, false)
    moved = [
        [corrected(end, recall, false) for end in _ends(found, level)],
        [corrected(share, recall, end) for end in _ends(rates.unlucky, level)],
        [corrected(share, end, false) for end in _ends(rates.recall, level)],
    ]
    if best is None or not found.of or not rates.unlucky.of or any(None in ends for ends in moved):
        return 0.0, 1.0
    told = [[end for end in ends if end is not None] or [best] for ends in moved]
    down, up = (hypot(*(best - min(ends) for ends in told)), hypot(*(max(ends) - best for ends in told)))
    return min(max(best - down, 0.0), 1.0), min(max(best + up, 0.0), 1.0)


def _ends(rate: Rate | None, level: float) -> tuple[float, ...]:
    """Both one-sided limits of a rate; none of one that is not known."""
    if rate is None or not rate.of:
        return ()
    return lower_limit(rate.k, rate.of, 1 - level), upper_limit(rate.k, rate.of, 1 - level)


def _sensitivity(rates: ClassRates) -> float:
    return rates.recall.share if rates.recall is not None and rates.recall.of else 1.0


def chance_by_error(found: Rate, false_positive: Rate, level: float = LEVEL) -> float:
    """Chance that a slide without any such cell shows as many or more by error.

    Binomial at the upper one-sided limit of the false-positive rate: P(X >= k) of ``found.of`` cells. 1 where nothing
    is known of the rate.
    """
    from scipy.special import betainc

    if found.k <= 0 or not false_positive.of:
        return 1.0
    rate = upper_limit(false_positive.k, false_positive.of, 1 - level)
    return float(betainc(found.k, found.of - found.k + 1, rate))


def together(classes: Iterable[ClassRates | None]) -> ClassRates | None:
    """Rates of several classes counted as one; None where one of them has none.

    False positives are summed on the least denominator: those among the classes themselves count too, so that they are
    rather too many. How often one is taken for another is not known, so that the recall is left open.
    """
    known = list(classes)
    if not known or any(rates is None for rates in known):
        return None
    told = [rates for rates in known if rates is not None]
    if len(told) == 1:
        return told[0]
    false = [rates.unlucky for rates in told]
    of = min(rate.of for rate in false)
    return ClassRates(Rate(min(sum(rate.k for rate in false), of), of), None, min(r.laboratories for r in told))
