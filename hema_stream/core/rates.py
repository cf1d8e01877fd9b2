"""How often a class is called where it is not, and found where it is, in laboratories left out of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """A count within its denominator."""

    k: int
    of: int

    @property
    def share(self) -> float:
        """k / of, 0..1; 0 without a denominator."""
        return self.k / self.of if self.of else 0.0


@dataclass(frozen=True)
class ClassRates:
    """What is known of one class elsewhere.

    Attributes:
        false_positive: cells of other classes that were called this, of all such cells.
        recall: cells of this class that were called so, of all of them; None where none was there.
        laboratories: how many left-out laboratories the recall was measured in.
        worst: the false positives of the left-out laboratory with the most of them; None where none was told apart.
        note: what else is known of it, in plain words.
    """

    false_positive: Rate
    recall: Rate | None
    laboratories: int
    worst: Rate | None = None
    note: str = ""

    @property
    def unlucky(self) -> Rate:
        """The false positives to expect where one is not lucky: laboratories differ by more than chance."""
        return (
            self.worst
            if self.worst is not None and self.worst.share > self.false_positive.share
            else self.false_positive
        )


Rates = Mapping[str, ClassRates]
"""By class."""
