"""Flags: which figures ask for a person's eye. Codes are stable; thresholds and wordings are the panel's.

A count that a network made is a claim: it is a flag where it is more than the network's errors in laboratories that it
has not seen explain, else a candidate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from hema_stream.clinical.claims import CHANCE, chance_by_error, corrected_limits, corrected_share, together
from hema_stream.clinical.panel import FlagRule, Panel
from hema_stream.core.rates import ClassRates, Rate, Rates
from hema_stream.core.report import Flag


class Raised(NamedTuple):
    """What a stream's counts ask a person to look at: with an alarm, and without."""

    flags: list[Flag]
    candidates: list[Flag]


@dataclass(frozen=True)
class Claim:
    """A flag that the count of some classes raises.

    Attributes:
        one: whether one cell is enough: it is the chance of an error that counts, not a share.
    """

    code: str
    classes: tuple[str, ...]
    one: bool = False


@dataclass(frozen=True)
class Counted:
    """One stream of a slide.

    Attributes:
        counts: classified single cells by class, those beside the differential included, unknown ones left out.
        unknown: single cells that were asked and are unknown.
        rates: how the classes did elsewhere.
        confirmed: classes whose counts a person has confirmed; no error of the network is left in them.
        median_um: median diameter of ``sized`` cells; None where the scale was not measured.
    """

    stream: str
    counts: Mapping[str, int]
    unknown: int
    rates: Rates = field(default_factory=dict)
    confirmed: Set[str] = frozenset()
    median_um: float | None = None
    sized: int = 0

    @property
    def asked(self) -> int:
        """Single cells that the network gave an answer of."""
        return sum(self.counts.values()) + self.unknown

    def classified(self, panel: Panel) -> int:
        """The denominator of the percentages."""
        beside = panel.differential.beside if self.stream == "wbc" else ()
        return sum(count for name, count in self.counts.items() if name not in beside)

    def gradable(self, panel: Panel) -> bool:
        """Whether few enough cells are unknown."""
        rule = panel.differential if self.stream == "wbc" else panel.morphology
        return self.unknown <= rule.not_gradable_above * self.asked


def claims(panel: Panel, stream: str) -> tuple[Claim, ...]:
    """What the classes of a stream can claim."""
    if stream == "rbc":
        return (
            Claim("schistocytes_present", ("schistocyte",)),
            Claim("sickle_cells_present", ("sickle",), one=True),
            Claim("parasite_suspected", ("malaria_infected",), one=True),
        )
    return (
        Claim("blast_detected", ("blast",), one=True),
        Claim("possible_leukemia", ("blast",)),
        Claim("immature_granulocytes", panel.differential.immature),
        Claim("nrbc_present", ("erythroblast",)),
        Claim("smudge_cells", ("smudge",)),
    )


def raised(
    panel: Panel,
    stream: str,
    counts: Mapping[str, int],
    unknown: int,
    rates: Rates,
    *,
    confirmed: Set[str] = frozenset(),
    median_um: float | None = None,
    sized: int = 0,
) -> Raised:
    """Flags and candidates of one stream of a slide, from its counts alone; arguments as in ``Counted``.

    A share is a flag where the lower 95% limit of the corrected share, of all cells asked, lies above the panel's
    limit; a class of which one cell is enough where the chance of as many by error is under 1 in 1,000. Classes of
    which no rate is known give candidates only, and so do fewer cells than the panel's ``of_at_least`` and shares of
    slides that are not gradable. Candidates are looked for among the classified alone.
    """
    counted = Counted(stream, counts, unknown, rates, confirmed, median_um, sized)
    found = [told for claim in claims(panel, stream) for told in _claimed(panel, claim, counted)]
    found = [*_sizes(panel, counted), *found]
    wanted = panel.differential.wanted if stream == "wbc" else panel.morphology.wanted
    few = Flags(panel).insufficient(counted.classified(panel), wanted)
    return Raised([flag for flag in found if not flag.note] + few, [flag for flag in found if flag.note])


def _claimed(panel: Panel, claim: Claim, counted: Counted) -> Iterator[Flag]:
    """The claim as a flag or as a candidate; nothing where too little was seen."""
    rule = panel.flags[claim.code]
    n = sum(counted.counts.get(name, 0) for name in claim.classes)
    if not _seen(rule, n, counted.classified(panel)):
        return
    found = Rate(n, counted.asked)
    note = _doubt(panel, claim, counted, found)
    names = [name for name in claim.classes if counted.counts.get(name)]
    yield _flag(panel, claim.code, n, found.of, f"{n:,} of {found.of:,} cells", note, names)


def _seen(rule: FlagRule, n: int, classified: int) -> bool:
    """Whether the bare count asks for an eye; where nothing is in the denominator any cell does."""
    if n < max(rule.least, 1):
        return False
    if not classified:
        return True
    percent = 100 * n / classified
    return percent >= max(rule.least_percent, rule.least_per_100) and percent > rule.above_percent


def _doubt(panel: Panel, claim: Claim, counted: Counted, found: Rate) -> str:
    """Why a claim is no flag; empty where it is one."""
    rule, telling = panel.flags[claim.code], panel.telling
    if found.of < rule.of_at_least:
        return telling.few.format(of=found.of, least=rule.of_at_least)
    if set(claim.classes) <= counted.confirmed:
        return ""
    rates = together(counted.rates.get(name) for name in claim.classes)
    if not claim.one and not counted.gradable(panel):
        return telling.not_gradable
    if rates is None or not rates.unlucky.of:
        return telling.unproven
    if claim.one:
        return "" if chance_by_error(found, rates.unlucky) < CHANCE else telling.by_error
    return _doubt_of_share(panel, rule, found, rates)


def _doubt_of_share(panel: Panel, rule: FlagRule, found: Rate, rates: ClassRates) -> str:
    limit = max(rule.least_percent, rule.least_per_100, rule.above_percent) / 100
    low, _ = corrected_limits(found, rates)
    if low > limit:
        return ""
    share = corrected_share(found, rates)
    return panel.telling.open if share is not None and share > limit else panel.telling.by_error


def _sizes(panel: Panel, counted: Counted) -> Iterator[Flag]:
    """Flags of the median diameter, which no class of a network has a part in."""
    median, sized = counted.median_um, counted.sized
    if median is None or not sized:
        return
    for code, odd in (
        ("microcytosis_detected", median < panel.flags["microcytosis_detected"].below_um),
        ("macrocytosis_detected", median > panel.flags["macrocytosis_detected"].above_um),
    ):
        least = panel.flags[code].of_at_least
        note = "" if sized >= least else panel.telling.few.format(of=sized, least=least)
        if odd:
            yield _flag(panel, code, median, sized, f"median {median:.1f} µm of {sized:,} cells", note)


def _flag(panel: Panel, code: str, n: float, of: int, figure: str, note: str = "", classes: Sequence[str] = ()) -> Flag:
    rule = panel.flags[code]
    wording = rule.candidate if note else rule.wording
    return Flag(code=code, wording=wording, n=round(n, 2), of=of, figure=figure, note=note, classes=list(classes))


@dataclass(frozen=True)
class Flags:
    """Flags of the film and the picture, which are measured and not named.

    Limits are compared with unrounded figures: ``k`` of ``n`` is ``100 k / n`` percent.
    """

    panel: Panel

    def stain(self, in_range: bool, tiles: int) -> list[Flag]:
        """Flag of a stain that normalisation was not made for; it concerns every analysed tile."""
        return [] if in_range else [_flag(self.panel, "poor_stain", tiles, tiles, f"{tiles:,} of {tiles:,} tiles")]

    def focus(self, coverage: float | None, rejected: int, wanted: int) -> list[Flag]:
        """Ask for another scan where tiles were out of focus and coverage is not acceptable."""
        low = coverage is not None and coverage < self.panel.quality.acceptable_coverage
        return self._counted("rescan_advised", rejected, wanted, "tiles") if low else []

    def monolayer(self, overlapping: int, red: int) -> list[Flag]:
        """Flag red cells that overlap, estimated from the area of clumps."""
        rule = self.panel.flags["out_of_monolayer"]
        if not red or red < rule.of_at_least or not 100 * overlapping / red > rule.above_percent:
            return []
        return self._counted("out_of_monolayer", overlapping, red, "red cells")

    def platelets(self, clumps: int, findings: int) -> list[Flag]:
        """Flag clumps among the platelets found."""
        return self._counted("platelet_clumps", clumps, findings, "platelet findings")

    def insufficient(self, classified: int, wanted: int) -> list[Flag]:
        """Flag fewer classified cells than are wanted."""
        figure = f"{classified:,} of {wanted:,} cells wanted"
        return [_flag(self.panel, "insufficient_cells", classified, wanted, figure)] if classified < wanted else []

    def _counted(self, code: str, n: int, of: int, what: str) -> list[Flag]:
        figure = f"{n:,} of {of:,} {what}"
        return [_flag(self.panel, code, n, of, figure)] if n >= self.panel.flags[code].least else []
