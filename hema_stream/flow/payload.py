"""What the runtime asks of the things that flow."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def nbytes_of(item: Any) -> int:
    """Bytes an item holds in a queue: its ``nbytes``, else Python's own size of it."""
    size = getattr(item, "nbytes", None)
    return int(size) if size is not None else sys.getsizeof(item)


def rows_of(item: Any) -> int:
    """Rows an item has (cells): its ``rows``, else 1."""
    return int(getattr(item, "rows", 1))


def units_of(item: Any) -> Sequence[Any]:
    """What is lost when an item is lost: its ``units``, else nothing that has a name."""
    units: Sequence[Any] = getattr(item, "units", ())
    return units
