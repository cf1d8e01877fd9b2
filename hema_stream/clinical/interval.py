"""Exact binomial limits (Clopper and Pearson, Biometrika 26:404, 1934), and what unknown cells add to them."""

from __future__ import annotations

from hema_stream.core.report import Share


def lower_limit(k: int, n: int, tail: float) -> float:
    """Least proportion, 0..1, under which ``k`` of ``n`` or more come with a chance of ``tail``; 0 without any.

    BetaInv(tail; k, n - k + 1), 0 if k = 0.
    """
    from scipy.special import betaincinv  # BetaInv; scipy.stats has the same, half a second later

    return 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))


def upper_limit(k: int, n: int, tail: float) -> float:
    """Largest proportion, 0..1, over which ``k`` of ``n`` or fewer come with a chance of ``tail``; 1 without any.

    BetaInv(1 - tail; k + 1, n - k), 1 if k = n.
    """
    from scipy.special import betaincinv

    return 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - tail))


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float] | None:
    """Limits of a proportion in percent; None without a denominator. They hold the counting error alone.

    Raises:
        ValueError: k is not within 0..n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no proportion")
    if n == 0:
        return None
    tail = (1 - level) / 2
    return round(100 * lower_limit(k, n, tail), 2), round(100 * upper_limit(k, n, tail), 2)


def share(k: int, n: int, unknown: int = 0, *, gradable: bool = True) -> Share:
    """A count with its denominator, percentage and limits.

    Args:
        unknown: cells beside the ``n`` of which nobody knows whether they belong to the ``k``.
        gradable: whether percentages may be told; where not, only what the unknown leave open is.
    """
    told = gradable and n > 0
    return Share(
        count=k,
        of=n,
        percent=round(100 * k / n, 2) if told else None,
        ci95=clopper_pearson(k, n) if told else None,
        percent_of_all=round(100 * k / (n + unknown), 2) if told else None,
        with_unknown=_with_unknown(k, n, unknown),
    )


def _with_unknown(k: int, n: int, unknown: int) -> tuple[float, float] | None:
    """From the lower limit with none of the unknown to the upper one with all of them, percent of all."""
    least, most = clopper_pearson(k, n + unknown), clopper_pearson(k + unknown, n + unknown)
    return None if least is None or most is None else (least[0], most[1])
