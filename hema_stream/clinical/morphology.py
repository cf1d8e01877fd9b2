"""Red cell morphology: shares of shapes, size classes, flags."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hema_stream.clinical.interval import share
from hema_stream.clinical.panel import Panel
from hema_stream.core.report import Flag, RbcAnalysis

SIZE_CLASSES = ("microcytic", "normocytic", "macrocytic")


def size_classes(diameters: NDArray[np.float64], panel: Panel) -> NDArray[np.int8]:
    """Sort red cells by diameter (N,) in microns: 0 microcytic, 1 normocytic, 2 macrocytic."""
    limits = [panel.morphology.microcyte_um, panel.morphology.macrocyte_um]
    return np.searchsorted(limits, diameters, side="right").astype(np.int8)


def morphology(
    counts: Mapping[str, int],
    abnormal: frozenset[str],
    total: int,
    unknown: int,
    in_clumps: int,
    diameters: NDArray[np.float64] | None,
    panel: Panel,
) -> RbcAnalysis:
    """Work out the morphology of red cells.

    Args:
        counts: classified single cells by class, unknown ones left out.
        abnormal: classes that count as abnormal.
        diameters: (N,) microns of single whole red cells; None where the scale was not measured.
    """
    classified = sum(counts.values())
    odd = sum(count for name, count in counts.items() if name in abnormal)
    sizes, median = None, None
    if diameters is not None and len(diameters):
        found = np.bincount(size_classes(diameters, panel), minlength=3)
        sizes = {name: int(count) for name, count in zip(SIZE_CLASSES, found, strict=True)}
        median = round(float(np.median(diameters)), 2)
    return RbcAnalysis(
        total=total,
        classified=classified,
        unknown=unknown,
        in_clumps=in_clumps,
        distribution={name: share(count, classified) for name, count in counts.items()},
        size_classes=sizes,
        median_diameter_um=median,
        abnormality_rate=round(100 * odd / classified, 2) if classified else None,
        flags=rbc_flags(counts, classified, median, panel),
    )


def rbc_flags(counts: Mapping[str, int], classified: int, median_um: float | None, panel: Panel) -> list[Flag]:
    """Raise what the panel's rules raise; size flags only where the scale was measured."""
    rules = panel.flags
    fragments = counts.get("schistocyte", 0)
    percent = 100 * fragments / classified if classified else 0.0
    rule = rules["schistocytes_present"]
    parasites = counts.get("malaria_infected", 0)
    small = median_um is not None and median_um < rules["microcytosis_detected"].below_um
    large = median_um is not None and median_um > rules["macrocytosis_detected"].above_um
    raised: dict[str, tuple[bool, float]] = {
        "microcytosis_detected": (small, median_um or 0.0),
        "macrocytosis_detected": (large, median_um or 0.0),
        "schistocytes_present": (classified >= rule.of_at_least and percent > rule.above_percent, fragments),
        "parasite_suspected": (parasites >= rules["parasite_suspected"].least, parasites),
        "insufficient_cells": (classified < panel.morphology.wanted, classified),
    }
    return [
        Flag(
            code=code,
            wording=rules[code].wording,
            n=n,
            of=panel.morphology.wanted if code == "insufficient_cells" else classified,
        )
        for code, (holds, n) in raised.items()
        if holds
    ]
