"""The calibration window: which fields stain and scale are fitted on, whatever the order in which they come."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """The fields to fit on, lowest first; ``settled`` where no lower one can come any more."""

    fields: tuple[int, ...]
    settled: bool


class Window:
    """Finds the K lowest fields that can be read and hold tissue.

    A field that is background or unreadable, or that a watermark has passed, is replaced by the next. Where the window
    is full before all lower ones are known, the lowest of what there is are taken, and the choice is not settled.

    Args:
        fitted: K.
        size: usable fields that wait at most.
    """

    def __init__(self, fitted: int, size: int) -> None:
        self._fitted, self._size = fitted, size
        self._usable: set[int] = set()
        self._useless: set[int] = set()
        self._passed = -1
        self._closed = False

    def add(self, index: int) -> None:
        """A field came that stain can be fitted on."""
        self._usable.add(index)

    def skip(self, index: int) -> None:
        """A field came that is background, or cannot be read."""
        self._useless.add(index)

    def pass_by(self, through: int) -> None:
        """Fields up to this number that have not come will not come."""
        self._passed = max(self._passed, through)

    def close(self) -> None:
        """Nothing more comes at all."""
        self._closed = True

    def choose(self) -> Choice | None:
        """The fields to fit on; None while a lower one may still come and there is room to wait."""
        lowest = tuple(sorted(self._usable)[: self._fitted])
        if self._closed or (len(lowest) == self._fitted and self._known(lowest[-1])):
            return Choice(lowest, settled=True)
        return Choice(lowest, settled=False) if len(self._usable) >= self._size else None

    def _known(self, index: int) -> bool:
        """Whether it is known of every field up to this one what became of it."""
        lower = range(self._passed + 1, index)
        return all(other in self._usable or other in self._useless for other in lower)
