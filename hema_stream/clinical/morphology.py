"""Red cell morphology: shares of shapes, size classes."""

from __future__ import annotations

from collections.abc import Mapping, Set

import numpy as np
from numpy.typing import NDArray

from hema_stream.clinical.flags import Counted, raised
from hema_stream.clinical.interval import share
from hema_stream.clinical.panel import Panel
from hema_stream.clinical.telling import elsewhere, ungraded, unknown_rule
from hema_stream.core.naming import Naming
from hema_stream.core.report import RbcAnalysis

SIZE_CLASSES = ("microcytic", "normocytic", "macrocytic")


def size_classes(diameters: NDArray[np.float64], panel: Panel) -> NDArray[np.int8]:
    """Sort red cells by diameter (N,) in microns: 0 under the lower limit, 2 over the upper one, 1 from one to both."""
    rule = panel.morphology
    return np.where(diameters < rule.microcyte_um, 0, np.where(diameters > rule.macrocyte_um, 2, 1)).astype(np.int8)


def morphology(
    counts: Mapping[str, int],
    total: int,
    unknown: int,
    in_clumps: int,
    diameters: NDArray[np.float64] | None,
    panel: Panel,
    *,
    unclassified: int = 0,
    cut: int = 0,
    clumps: int = 0,
    naming: Naming | None = None,
    confirmed: Set[str] = frozenset(),
) -> RbcAnalysis:
    """Work out the morphology of red cells.

    Args:
        counts: classified single cells by class, unknown ones left out.
        total: red findings counted.
        unknown, unclassified, cut, clumps: those of ``total`` that are not in ``counts``.
        in_clumps: estimated cells within the clumps.
        diameters: (N,) microns of single cells seen whole; None where the scale was not measured.
        naming: what named the cells.
        confirmed: classes whose counts a person has confirmed.
    """
    naming, classified = naming or Naming(), sum(counts.values())
    counted = Counted("rbc", counts, unknown)
    gradable = counted.gradable(panel)
    abnormal = {c.name for c in naming.taxonomy("rbc").classes if c.abnormal}
    odd = share(sum(n for name, n in counts.items() if name in abnormal), classified, unknown, gradable=gradable)
    measured = diameters is not None
    sized = 0 if diameters is None else len(diameters)
    median = float(np.median(diameters)) if diameters is not None and sized else None
    rates = naming.rates_of("rbc")
    flags, candidates = raised(panel, "rbc", counts, unknown, rates, confirmed=confirmed, median_um=median, sized=sized)
    return RbcAnalysis(
        total=total,
        classified=classified,
        gradable=gradable,
        gradable_note="" if gradable else ungraded(panel, "rbc", unknown, counted.asked),
        unknown_rule=unknown_rule(panel, "rbc", naming),
        unknown=unknown,
        unclassified=unclassified,
        cut=cut,
        clumps=clumps,
        in_clumps=in_clumps,
        distribution={name: share(n, classified, unknown, gradable=gradable) for name, n in counts.items()},
        abnormality_rate=odd.percent,
        abnormal=odd,
        sized=sized if measured else None,
        size_classes=None if diameters is None else _size_counts(diameters, panel),
        median_diameter_um=None if median is None else round(median, 2),
        flags=flags,
        candidates=candidates,
        elsewhere=elsewhere(panel, "rbc", naming),
    )


def _size_counts(diameters: NDArray[np.float64], panel: Panel) -> dict[str, int]:
    found = np.bincount(size_classes(diameters, panel), minlength=len(SIZE_CLASSES))
    return dict(zip(SIZE_CLASSES, found.tolist(), strict=True))
