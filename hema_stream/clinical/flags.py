"""Flags: which figures ask for a person's eye. Codes are stable; thresholds and wordings are the panel's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hema_stream.clinical.panel import Panel
from hema_stream.core.report import Flag


@dataclass(frozen=True)
class Flags:
    """Raises flags by one panel's rules.

    Limits are compared with unrounded figures: ``k`` of ``n`` cells is ``100 k / n`` percent.
    """

    panel: Panel

    def white(self, counts: Mapping[str, int], classified: int) -> list[Flag]:
        """Flags of the differential.

        Args:
            counts: classified white cells by class, those beside the differential included.
            classified: the differential's denominator.
        """
        immature = sum(counts.get(name, 0) for name in self.panel.differential.immature)
        raised = (
            *self._counted("blast_detected", counts.get("blast", 0), classified),
            *self._proportion("possible_leukemia", counts.get("blast", 0), classified),
            *self._proportion("immature_granulocytes", immature, classified),
            *self._proportion("nrbc_present", counts.get("erythroblast", 0), classified),
            *self._insufficient(classified, self.panel.differential.wanted),
        )
        return list(raised)

    def red(self, counts: Mapping[str, int], classified: int, median_um: float | None, sized: int) -> list[Flag]:
        """Flags of red cell morphology.

        Args:
            counts: classified red cells by class.
            classified: how many these are.
            median_um: median diameter of ``sized`` cells; None where the scale was not measured.
        """
        raised = (
            *self._size(median_um, sized),
            *self._proportion("schistocytes_present", counts.get("schistocyte", 0), classified),
            *self._counted("parasite_suspected", counts.get("malaria_infected", 0), classified),
            *self._insufficient(classified, self.panel.morphology.wanted),
        )
        return list(raised)

    def stain(self, in_range: bool, tiles: int) -> list[Flag]:
        """Flag of a stain that normalisation was not made for; it concerns every analysed tile."""
        return [] if in_range else [self._flag("poor_stain", tiles, tiles)]

    def focus(self, coverage: float | None, rejected: int, wanted: int) -> list[Flag]:
        """Ask for another scan where tiles were out of focus and coverage is not acceptable."""
        low = coverage is not None and coverage < self.panel.quality.acceptable_coverage
        return list(self._counted("rescan_advised", rejected, wanted)) if low else []

    def monolayer(self, overlapping: int, red: int) -> list[Flag]:
        """Flag red cells that overlap, estimated from the area of clumps."""
        return list(self._proportion("out_of_monolayer", overlapping, red))

    def platelets(self, clumps: int, findings: int) -> list[Flag]:
        """Flag clumps among the platelets found."""
        return list(self._counted("platelet_clumps", clumps, findings))

    def _counted(self, code: str, n: int, of: int) -> Iterator[Flag]:
        if n >= self.panel.flags[code].least:
            yield self._flag(code, n, of)

    def _proportion(self, code: str, n: int, of: int) -> Iterator[Flag]:
        rule = self.panel.flags[code]
        if not n or not of or of < rule.of_at_least:
            return
        percent = 100 * n / of
        if percent >= max(rule.least_percent, rule.least_per_100) and percent > rule.above_percent:
            yield self._flag(code, n, of)

    def _size(self, median_um: float | None, sized: int) -> Iterator[Flag]:
        rules = self.panel.flags
        if median_um is None or not sized:
            return
        if median_um < rules["microcytosis_detected"].below_um:
            yield self._flag("microcytosis_detected", median_um, sized)
        if median_um > rules["macrocytosis_detected"].above_um:
            yield self._flag("macrocytosis_detected", median_um, sized)

    def _insufficient(self, classified: int, wanted: int) -> Iterator[Flag]:
        if classified < wanted:
            yield self._flag("insufficient_cells", classified, wanted)

    def _flag(self, code: str, n: float, of: int) -> Flag:
        return Flag(code=code, wording=self.panel.flags[code].wording, n=round(n, 2), of=of)
