"""What travels along a link: buffers, and the serialized events that keep their place between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hema_stream.flow.caps import Caps
from hema_stream.flow.payload import nbytes_of


@dataclass(slots=True)
class Event:
    """Base; ``slide`` names the stream that it belongs to."""

    slide: str


@dataclass(slots=True)
class StreamStart(Event):
    """A slide begins; higher ``priority`` is served first."""

    priority: int = 0


@dataclass(slots=True)
class CapsEvent(Event):
    """From here on the slide's buffers have these caps."""

    caps: Caps


@dataclass(slots=True)
class Buffer(Event):
    """One item of a slide."""

    item: Any

    @property
    def nbytes(self) -> int:
        """Bytes that it counts for."""
        return nbytes_of(self.item)


@dataclass(slots=True)
class GapEvent(Event):
    """Something did not come, in the place where it would have been."""

    gap: Gap


@dataclass(slots=True)
class Eos(Event):
    """Nothing of the slide follows."""


@dataclass(frozen=True, slots=True)
class Gap:
    """What did not come and why.

    Attributes:
        units: what is missing, by the stages' own names (a tile's index, cells' keys).
        reason: a code such as ``timeout`` or ``out-of-memory``.
        outcome: how the units ended, for whoever keeps the ledger.
        error: the failure behind it, where there was one.
    """

    units: Sequence[Any]
    reason: str
    outcome: str = "gap"
    error: BaseException | None = None
