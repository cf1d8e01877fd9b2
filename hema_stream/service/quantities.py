"""Lengths of time and sizes as people write them: ``30 d``, ``1.5 h``, ``10 GiB``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, ByteSize, Field

_UNITS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*([0-9.]+)\s*([a-z]*)\s*", value)
    if not found or found[2] not in {"", *_UNITS}:
        raise ValueError(f"not a length of time; write a number and one of {', '.join(_UNITS)}")
    return float(found[1]) * _UNITS.get(found[2], 1.0)


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, allow_inf_nan=False)]
"""A length of time above nothing; a plain number is seconds."""
Wait = Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)]
"""A length of time that may be nothing."""
Bytes = Annotated[ByteSize, Field(ge=0)]
"""A size; a plain number is bytes."""
