"""Exact binomial limits (Clopper and Pearson, Biometrika 1934)."""

from __future__ import annotations

from hema_stream.core.report import Share


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float] | None:
    """Limits of a proportion in percent; None without a denominator.

    L = BetaInv(a/2; k, n - k + 1), 0 if k = 0; U = BetaInv(1 - a/2; k + 1, n - k), 1 if k = n.
    """
    from scipy.stats import beta

    if n == 0:
        return None
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(1 - tail, k + 1, n - k))
    return round(100 * low, 2), round(100 * high, 2)


def share(k: int, n: int) -> Share:
    """A count with its percentage and limits."""
    return Share(count=k, percent=round(100 * k / n, 2) if n else None, ci95=clopper_pearson(k, n))
