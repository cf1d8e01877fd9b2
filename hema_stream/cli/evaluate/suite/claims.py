"""What a report would claim of counts by class: the one place where the suite asks the clinical code."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from hema_stream.clinical.panel import Panel, load_panel
from hema_stream.core.rates import Rates


@dataclass(frozen=True)
class Claims:
    """Asks the report's own rules.

    Attributes:
        panel: thresholds; rates: by stream, how each class did in laboratories left out.
        beside: flags that are no claim about a class of cells.
    """

    rates: Mapping[str, Rates]
    beside: Collection[str] = ()
    panel: Panel = field(default_factory=load_panel)

    def names(self, stream: str) -> Sequence[str]:
        """Classes of a stream, in order."""
        from hema_stream.core.taxonomy import load_taxonomy

        return load_taxonomy(stream).names

    def of(self, stream: str, counts: Mapping[str, int], unknown: int) -> tuple[set[str], set[str]]:
        """Codes of the flags raised, and of the candidates.

        Args:
            counts: cells by class, unknown ones left out; unknown: how many those are.
        """
        from hema_stream.clinical.flags import raised

        told = raised(self.panel, stream, counts, unknown, self.rates.get(stream, {}))
        flags, candidates = ({flag.code for flag in some} - set(self.beside) for some in told)
        return flags, candidates
