"""A ledger of units: each planned one ends exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable

from hema_stream.flow.errors import LedgerError

OUTCOMES = ("analysed", "background", "rejected", "gap", "cancelled")


class Ledger:
    """How the units of one slide ended.

    >>> ledger = Ledger(range(2)); ledger.end(0, "analysed"); ledger.end(1, "background"); ledger.check()
    """

    def __init__(self, units: Iterable[Hashable], outcomes: tuple[str, ...] = OUTCOMES) -> None:
        self._open = set(units)
        self._planned = len(self._open)
        self._counts: Counter[str] = Counter(dict.fromkeys(outcomes, 0))

    @property
    def planned(self) -> int:
        """Number of units, ended or not."""
        return self._planned

    def plan(self, units: Iterable[Hashable]) -> None:
        """Add units to a plan that grows; none of them may have been planned before."""
        added = set(units)
        self._open |= added
        self._planned += len(added)

    def end(self, unit: Hashable, outcome: str) -> None:
        """Enter an ending; LedgerError for a unit not planned or ended before, or an outcome not known."""
        if outcome not in self._counts:
            raise LedgerError(f"unit {unit}: {outcome!r} is no outcome; known are {', '.join(self._counts)}")
        if unit not in self._open:
            raise LedgerError(f"unit {unit} was not planned or has ended before (now {outcome})")
        self._open.remove(unit)
        self._counts[outcome] += 1

    def open(self) -> list[Hashable]:
        """List the units that have not ended."""
        return list(self._open)

    def counts(self) -> dict[str, int]:
        """Units by outcome."""
        return dict(self._counts)

    def check(self) -> None:
        """Raise LedgerError unless every planned unit has ended."""
        if self._open:
            some = ", ".join(str(unit) for unit in sorted(self._open, key=str)[:5])
            raise LedgerError(f"{len(self._open)} of {self._planned} units never ended, among them {some}")
