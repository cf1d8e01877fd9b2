"""When a file is whole: it has stayed as it is for a while. No file system here, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Signature = tuple[int, ...]
"""What changes while a file is written: size, time of change, inode, and those of its companions."""


@dataclass
class _Seen:
    signature: Signature
    since: float


class Stability:
    """Remembers since when each name looks as it does."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def observe(self, name: str, signature: Signature, now: float) -> float:
        """Enter how a file looks; for how many seconds it has looked so."""
        seen = self._seen.get(name)
        if seen is None or seen.signature != signature:
            self._seen[name] = _Seen(signature, now)
            return 0.0
        return now - seen.since

    def keep(self, names: Iterable[str]) -> None:
        """Forget all other names: their files are gone."""
        there = set(names)
        self._seen = {name: seen for name, seen in self._seen.items() if name in there}
