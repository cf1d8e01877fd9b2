"""The white cell differential: denominators, groups, cells beside it."""

from __future__ import annotations

from collections.abc import Mapping

from hema_stream.clinical.interval import share
from hema_stream.clinical.panel import Panel
from hema_stream.core.report import Flag, Share, WbcDifferential

ME_RATIO = "not computed on blood: it has no erythroid precursors to compare with"
NEUTROPHILS = ("neutrophil_segmented", "neutrophil_band")


def differential(counts: Mapping[str, int], total: int, unknown: int, panel: Panel) -> WbcDifferential:
    """Work out the differential.

    Args:
        counts: classified cells by class, unknown ones left out.
        total: white cells counted.
        unknown: of these, how many are unknown.
    """
    rule = panel.differential
    inside = {name: count for name, count in counts.items() if name not in rule.beside}
    denominator = sum(inside.values())
    immature = sum(inside.get(name, 0) for name in rule.immature)
    return WbcDifferential(
        total=total,
        classified=denominator,
        unknown=unknown,
        distribution=dict(counts),
        percentages={name: share(count, denominator) for name, count in inside.items()},
        neutrophils_total=share(sum(inside.get(name, 0) for name in NEUTROPHILS), denominator),
        immature_granulocytes=share(immature, denominator),
        per_100_wbc={name: per_100(counts.get(name, 0), denominator) for name in rule.beside},
        me_ratio_reason=ME_RATIO,
        flags=wbc_flags(counts, denominator, share(immature, denominator), panel),
    )


def per_100(count: int, wbc: int) -> float | None:
    """Cells for every 100 white cells; None without white cells."""
    return round(100 * count / wbc, 2) if wbc else None


def corrected_wbc(wbc: float, nrbc_per_100: float) -> float:
    """White cells without the nucleated red cells that an analyser counted among them: WBC x 100 / (100 + NRBC)."""
    return wbc * 100 / (100 + nrbc_per_100)


def wbc_flags(counts: Mapping[str, int], denominator: int, immature: Share, panel: Panel) -> list[Flag]:
    """Raise what the panel's rules raise."""
    blasts, nrbc = counts.get("blast", 0), per_100(counts.get("erythroblast", 0), denominator) or 0.0
    blast_percent = 100 * blasts / denominator if denominator else 0.0
    rules = panel.flags
    raised = {
        "blast_detected": (blasts >= rules["blast_detected"].least, blasts),
        "possible_leukemia": (blasts > 0 and blast_percent >= rules["possible_leukemia"].least_percent, blasts),
        "immature_granulocytes": (
            immature.count > 0 and (immature.percent or 0) >= rules["immature_granulocytes"].least_per_100,
            immature.count,
        ),
        "nrbc_present": (nrbc > 0 and nrbc >= rules["nrbc_present"].least_per_100, counts.get("erythroblast", 0)),
        "insufficient_cells": (denominator < panel.differential.wanted, denominator),
    }
    return [
        Flag(
            code=code,
            wording=None if code == "possible_leukemia" else rules[code].wording,
            n=n,
            of=panel.differential.wanted if code == "insufficient_cells" else denominator,
        )
        for code, (holds, n) in raised.items()
        if holds
    ]
