"""Dealing groups to folds so that classes balance."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import fsum

import numpy as np
from numpy.typing import NDArray

PIECE = 8


def pieces(blocks: Mapping[str, str], longest: int = PIECE) -> dict[str, str]:
    """Cut blocks of more than ``longest`` pictures into consecutive pieces; picture to piece's name."""
    members: dict[str, list[str]] = defaultdict(list)
    for name in sorted(blocks):
        members[blocks[name]].append(name)
    return {
        name: f"{block}-{position // longest}" if len(names) > longest else block
        for block, names in members.items()
        for position, name in enumerate(names)
    }


def deal_balanced(labels: Sequence[str], groups: Sequence[str], folds: int) -> NDArray[np.int64]:
    """Deal groups to folds, largest first, each to where its classes are scarcest; returns (N,) fold of each row.

    Deterministic, whatever the rows' order: sums are exact (``fsum``), ties go by the names of
    groups and the numbers of folds.
    """
    content: dict[str, Counter[str]] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        content[group][label] += 1
    totals = Counter(labels)
    load = [Counter[str]() for _ in range(folds)]
    dealt: dict[str, int] = {}
    for group in sorted(content, key=lambda g: (-fsum(n / totals[c] for c, n in content[g].items()), g)):
        costs = [
            fsum((load[f][c] + n) / totals[c] * n / totals[c] for c, n in content[group].items()) for f in range(folds)
        ]
        sizes = [sum(load[f].values()) for f in range(folds)]
        chosen = min(range(folds), key=lambda f: (round(costs[f], 9), sizes[f], f))
        dealt[group] = chosen
        load[chosen].update(content[group])
    return np.array([dealt[group] for group in groups], np.int64)
