"""Exact binomial limits (Clopper and Pearson, Biometrika 26:404, 1934)."""

from __future__ import annotations

from hema_stream.core.report import Share


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float] | None:
    """Limits of a proportion in percent; None without a denominator.

    L = BetaInv(a/2; k, n - k + 1), 0 if k = 0; U = BetaInv(1 - a/2; k + 1, n - k), 1 if k = n, with a = 1 - level.
    They hold the counting error alone.

    Raises:
        ValueError: k is not within 0..n.
    """
    from scipy.special import betaincinv  # BetaInv; scipy.stats has the same, half a second later

    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no proportion")
    if n == 0:
        return None
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - tail))
    return round(100 * low, 2), round(100 * high, 2)


def share(k: int, n: int) -> Share:
    """A count with its denominator, percentage and limits."""
    return Share(count=k, of=n, percent=round(100 * k / n, 2) if n else None, ci95=clopper_pearson(k, n))
