"""Caps: what a pad takes or gives, and how two pads agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

ANY = "ANY"


class Range(NamedTuple):
    """A template's closed interval of numbers."""

    lo: float
    hi: float


class Caps(Mapping[str, Any]):
    """An immutable media type with fields.

    In a template a field may be one value, a tuple or set of alternatives, or a ``Range``; a field that is missing is
    not constrained. Fields read as attributes: ``caps.calibration``.

    >>> Caps("image/tile", channels=(1, 3)).intersect(Caps("image/tile", channels=3))
    Caps('image/tile', channels=3)
    """

    __slots__ = ("_fields", "media")

    media: str

    def __init__(self, media: str, /, **fields: Any) -> None:
        object.__setattr__(self, "media", media)
        object.__setattr__(self, "_fields", {k: frozenset(v) if isinstance(v, set) else v for k, v in fields.items()})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._fields[name]
        except KeyError:
            raise AttributeError(f"caps {self.media!r} have no field {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("caps are immutable; use with_()")

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Caps) and self.media == other.media and self._fields == other._fields

    def __hash__(self) -> int:
        return hash((self.media, tuple(sorted(self._fields))))

    def __repr__(self) -> str:
        return f"Caps({', '.join([repr(self.media), *(f'{k}={v!r}' for k, v in self._fields.items())])})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.media, dict(self._fields)))

    def with_(self, media: str | None = None, /, **fields: Any) -> Caps:
        """Return caps with some fields, or the media, replaced."""
        return Caps(media or self.media, **{**self._fields, **fields})

    def intersect(self, other: Caps) -> Caps | None:
        """Return what both allow, or None."""
        return None if self.conflict(other) else self._meet(other)

    def conflict(self, other: Caps) -> str | None:
        """Name the first field on which the two cannot agree (``media`` for the media type), or None."""
        if ANY not in (self.media, other.media) and self.media != other.media:
            return "media"
        shared = (name for name in self._fields if name in other._fields)
        return next((name for name in shared if _meet(self._fields[name], other._fields[name]) is _NOTHING), None)

    def _meet(self, other: Caps) -> Caps:
        fields = {**self._fields, **other._fields}
        for name in self._fields.keys() & other._fields.keys():
            fields[name] = _meet(self._fields[name], other._fields[name])
        return Caps(other.media if self.media == ANY else self.media, **fields)


_NOTHING = object()


def _rebuild(media: str, fields: dict[str, Any]) -> Caps:
    return Caps(media, **fields)


def _meet(a: Any, b: Any) -> Any:
    """Intersect two field values; alternatives that come down to one become that value."""
    if isinstance(a, Range) and isinstance(b, Range):
        lo, hi = max(a.lo, b.lo), min(a.hi, b.hi)
        return Range(lo, hi) if lo <= hi else _NOTHING
    if isinstance(a, Range) or isinstance(b, Range):
        span, other = (a, b) if isinstance(a, Range) else (b, a)
        inside = [v for v in _alternatives(other) if isinstance(v, int | float) and span.lo <= v <= span.hi]
        return _one_or_many(inside)
    if a is b:
        return a
    return _one_or_many([v for v in _alternatives(a) if any(v is w or v == w for w in _alternatives(b))])


def _alternatives(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | frozenset) and not isinstance(value, Range) else (value,)


def _one_or_many(values: list[Any]) -> Any:
    if not values:
        return _NOTHING
    return values[0] if len(values) == 1 else tuple(values)
