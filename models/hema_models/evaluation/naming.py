"""What cells without disease are named: normal, unknown, or something abnormal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_models.evaluation.detection import box_iou
from hema_stream.core.taxonomy import load_taxonomy

MATCHED = 0.5
"""Intersection over union from which a found cell is the labelled one."""


def wilson(k: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Limits of a proportion at 95% (Wilson, JASA 22:209, 1927); 0 to 1 without cells.

    Raises:
        ValueError: k is not within 0..n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no proportion")
    if not n:
        return 0.0, 1.0
    centre, spread = k + z * z / 2, z * np.sqrt(k * (n - k) / n + z * z / 4)
    low, high = (centre - spread) / (n + z * z), (centre + spread) / (n + z * z)
    return (0.0 if k == 0 else float(low)), (1.0 if k == n else float(high))


def share(k: int, n: int) -> dict[str, Any]:
    """A count with its denominator, share (None without cells) and limits."""
    low, high = wilson(k, n)
    return {"k": k, "of": n, "share": round(k / n, 4) if n else None, "interval": [round(low, 4), round(high, 4)]}


def named(said: NDArray[np.int64], unknown: NDArray[np.bool_], stream: str = "rbc") -> dict[str, Any]:
    """Shares of cells that were named normal, that are unknown, and that were named something abnormal.

    Args:
        said: (N,) class, -1 where none was said; those count as unknown. unknown: (N,) bool.
    """
    taxonomy = load_taxonomy(stream)
    odd = np.array([c.abnormal for c in taxonomy.classes])
    silent = unknown | (said < 0)
    abnormal = ~silent & odd[np.clip(said, 0, None)]
    n = len(said)
    counts = np.bincount(said[abnormal], minlength=len(odd))
    return {
        "normal": share(int((~silent & ~abnormal).sum()), n),
        "unknown": share(int(silent.sum()), n),
        "abnormal": share(int(abnormal.sum()), n),
        "as": {name: int(k) for name, k in zip(taxonomy.names, counts, strict=True) if k},
    }


def found_at(labelled: NDArray[np.float64], found: NDArray[np.float64]) -> NDArray[np.int64]:
    """Row of the found box that overlaps each labelled one most, (L,); -1 where none does by ``MATCHED``.

    Args:
        labelled: (L, 4), found: (F, 4) boxes x, y, width, height.
    """
    if not len(found) or not len(labelled):
        return np.full(len(labelled), -1, np.int64)
    overlap = box_iou(labelled, found)
    best = overlap.argmax(axis=1)
    return np.where(overlap.max(axis=1) >= MATCHED, best, -1)
