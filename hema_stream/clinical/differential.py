"""The white cell differential: denominators, groups, cells beside it."""

from __future__ import annotations

from collections.abc import Mapping, Set

from hema_stream.clinical.flags import Counted, raised
from hema_stream.clinical.interval import share
from hema_stream.clinical.panel import DifferentialRule, Panel
from hema_stream.clinical.telling import elsewhere, ungraded, unknown_rule
from hema_stream.core.naming import Naming
from hema_stream.core.report import Share, WbcDifferential

ME_RATIO = "not computed on blood: it has no erythroid precursors to compare with"
NEUTROPHILS = ("neutrophil_segmented", "neutrophil_band")


def differential(
    counts: Mapping[str, int],
    total: int,
    unknown: int,
    panel: Panel,
    *,
    unclassified: int = 0,
    clumps: int = 0,
    naming: Naming | None = None,
    confirmed: Set[str] = frozenset(),
) -> WbcDifferential:
    """Work out the differential.

    The denominator is the intact classified white cells. Nucleated red cells and smudge cells stay out of it and are
    reported for every 100 white cells; unknown cells stay out of both, and widen the interval of each share.

    Args:
        counts: classified single cells by class, unknown ones left out.
        total: white findings counted.
        unknown, unclassified, clumps: those of ``total`` that are not in ``counts``.
        naming: what named the cells.
        confirmed: classes whose counts a person has confirmed.
    """
    rule, naming = panel.differential, naming or Naming()
    inside = {name: count for name, count in counts.items() if name not in rule.beside}
    counted = Counted("wbc", counts, unknown)
    classified, gradable = counted.classified(panel), counted.gradable(panel)
    flags, candidates = raised(panel, "wbc", counts, unknown, naming.rates_of("wbc"), confirmed=confirmed)

    def part(count: int) -> Share:
        return share(count, classified, unknown, gradable=gradable)

    return WbcDifferential(
        total=total,
        classified=classified,
        gradable=gradable,
        gradable_note="" if gradable else ungraded(panel, "wbc", unknown, counted.asked),
        unknown_rule=unknown_rule(panel, "wbc", naming),
        beside=sum(counts.values()) - classified,
        unknown=unknown,
        unclassified=unclassified,
        clumps=clumps,
        distribution=dict(counts),
        percentages={name: part(count) for name, count in _entries(inside, rule).items()},
        neutrophils_total=part(_sum(inside, NEUTROPHILS)),
        immature_granulocytes=part(_sum(inside, rule.immature)),
        per_100_wbc={name: per_100(counts.get(name, 0), classified) for name in rule.beside},
        me_ratio=None,
        me_ratio_reason=ME_RATIO,
        flags=flags,
        candidates=candidates,
        elsewhere=elsewhere(panel, "wbc", naming),
    )


def per_100(count: int, wbc: int) -> float | None:
    """Cells for every 100 white cells; None without white cells."""
    return round(100 * count / wbc, 2) if wbc else None


def corrected_wbc(wbc: float, nrbc_per_100: float) -> float:
    """White cells without the nucleated red cells that an analyser counted among them: WBC x 100 / (100 + NRBC)."""
    return wbc * 100 / (100 + nrbc_per_100)


def _entries(inside: Mapping[str, int], rule: DifferentialRule) -> dict[str, int]:
    """Name the entries of the percentages: bands apart, or one neutrophil in the place of both."""
    if rule.separate_bands:
        return dict(inside)
    neutrophils = {"neutrophil": _sum(inside, NEUTROPHILS)} if any(name in inside for name in NEUTROPHILS) else {}
    return neutrophils | {name: count for name, count in inside.items() if name not in NEUTROPHILS}


def _sum(counts: Mapping[str, int], names: tuple[str, ...]) -> int:
    return sum(counts.get(name, 0) for name in names)
