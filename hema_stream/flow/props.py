"""Properties of stages: typed, documented, range-checked, settable from text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Any

from hema_stream.flow.errors import PropertyError

_DURATION = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_SIZE = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_TYPES: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str, "Path": Path}
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


@dataclass(frozen=True)
class PropertySpec:
    """What ``inspect`` shows of a property."""

    name: str
    type: type
    default: Any
    doc: str
    unit: str | None
    ge: float | None
    le: float | None
    choices: tuple[Any, ...] | None

    @property
    def range(self) -> str:
        """Allowed values in words; empty where anything of the type is."""
        if self.choices:
            return " | ".join(str(c) for c in self.choices)
        if self.ge is None and self.le is None:
            return ""
        return f"{'' if self.ge is None else self.ge}..{'' if self.le is None else self.le}"


class _Property:
    def __init__(self, default: Any, doc: str, unit: str | None, ge: Any, le: Any, choices: Any) -> None:
        self.default, self.doc, self.unit = default, doc, unit
        self.ge, self.le, self.choices = ge, le, tuple(choices) if choices else None

    def __set_name__(self, owner: type, name: str) -> None:
        self.name, self._owner = name, owner

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        return instance.__dict__.get(self.name, self.default)

    def __set__(self, instance: Any, value: Any) -> None:
        spec = self.spec()
        instance.__dict__[self.name] = convert(spec, value, getattr(instance, "name", "") or type(instance).__name__)

    def spec(self) -> PropertySpec:
        """Describe the property; its type is the annotation's, the default's where there is none."""
        noted = self._owner.__annotations__.get(self.name, type(self.default))
        kind = _TYPES.get(noted, type(self.default)) if isinstance(noted, str) else noted
        return PropertySpec(self.name, kind, self.default, self.doc, self.unit, self.ge, self.le, self.choices)


def prop(
    default: Any,
    *,
    doc: str,
    unit: str | None = None,
    ge: float | None = None,
    le: float | None = None,
    choices: Sequence[Any] | None = None,
) -> Any:
    """Declare a property; its type is the annotation's.

    >>> class Blur(Transform):
    ...     radius: float = prop(1.0, doc="of the kernel", unit="px", ge=0)
    """
    return _Property(default, doc, unit, ge, le, choices)


def specs(stage: type) -> dict[str, PropertySpec]:
    """List a stage class's properties by name, in the order of declaration, bases first."""
    found: dict[str, PropertySpec] = {}
    for base in reversed(stage.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, _Property):
                found[name] = value.spec()
    return found


def convert(spec: PropertySpec, value: Any, stage: str) -> Any:
    """Turn text into the property's type and check its range.

    Raises:
        PropertyError: names stage, property, value and what is allowed.
    """
    try:
        out = _from_text(spec, value) if isinstance(value, str) else _coerce(spec, value)
    except (ValueError, KeyError) as error:
        allowed = spec.range or f"a {spec.type.__name__}"
        raise PropertyError(f"{stage}.{spec.name}={value!r}: expected {allowed}") from error
    low = spec.ge is not None and out < spec.ge
    high = spec.le is not None and out > spec.le
    if low or high or (spec.choices and out not in spec.choices):
        raise PropertyError(
            f"{stage}.{spec.name}={value!r}: allowed {spec.range}{f' {spec.unit}' if spec.unit else ''}"
        )
    return out


def _coerce(spec: PropertySpec, value: Any) -> Any:
    if spec.type is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _from_text(spec: PropertySpec, text: str) -> Any:
    if issubclass(spec.type, Enum):
        return spec.type(text)
    converter: Callable[[str], Any] | None = _CONVERTERS.get(spec.type)
    return converter(text) if converter else text


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError(text)


def _number(text: str) -> float:
    found = re.fullmatch(r"([-+0-9.eE]+)\s*([A-Za-z]*)", text)
    if not found:
        raise ValueError(text)
    value, unit = found.groups()
    number = float(value) * ({**_DURATION, **_SIZE}[unit] if unit else 1)
    if not isfinite(number):
        raise ValueError(text)
    return number


def _whole(text: str) -> int:
    value = _number(text)
    if value != int(value):
        raise ValueError(text)
    return int(value)


_CONVERTERS: dict[type, Callable[[str], Any]] = {bool: _boolean, int: _whole, float: _number, Path: Path}
