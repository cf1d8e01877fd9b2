"""Columns as they travel: named little-endian arrays of one length, packed without a map a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Layout = Mapping[str, tuple[str, int]]
"""Name to dtype and numbers a row."""

LABEL: Layout = {"keys": ("<i4", 2), "best": ("<i2", 1), "confidence": ("<u2", 1), "unknown": ("u1", 1)}
CELL: Layout = {
    **LABEL,
    "kind": ("u1", 1),
    "score": ("<u2", 1),
    "box": ("<i4", 4),
    "centre": ("<i4", 2),
    "area": ("<f4", 1),
    "clump": ("<i2", 1),
    "truncated": ("u1", 1),
}
TILE: Layout = {"index": ("<i4", 1), "outcome": ("u1", 1)}


def row_bytes(layout: Layout) -> int:
    """Bytes of one row."""
    return sum(np.dtype(dtype).itemsize * width for dtype, width in layout.values())


@dataclass(frozen=True, eq=False)
class Columns:
    """N rows: ``arrays[name]`` is (N,) or (N, width), of the layout's dtype."""

    layout: Layout
    arrays: Mapping[str, NDArray[Any]]

    @classmethod
    def of(cls, layout: Layout, **arrays: NDArray[Any]) -> Columns:
        """Make columns of arrays, converted to the layout's dtypes."""
        made = {name: np.ascontiguousarray(arrays[name], dtype) for name, (dtype, _) in layout.items()}
        return cls(layout, made)

    @classmethod
    def empty(cls, layout: Layout, rows: int = 0) -> Columns:
        """Make rows of zeros."""
        return cls(layout, {name: np.zeros(_shape(rows, width), dtype) for name, (dtype, width) in layout.items()})

    @classmethod
    def concatenate(cls, parts: Sequence[Columns]) -> Columns:
        """Put parts of one layout, at least one, behind each other."""
        layout = parts[0].layout
        return cls(layout, {name: np.concatenate([part.arrays[name] for part in parts]) for name in layout})

    @classmethod
    def unpack(cls, layout: Layout, packed: Mapping[str, Any]) -> Columns:
        """Read what ``pack`` made."""
        arrays = {
            name: np.frombuffer(packed[name], dtype).reshape(_shape(int(packed["n"]), width))
            for name, (dtype, width) in layout.items()
        }
        return cls(layout, arrays)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """One column."""
        return self.arrays[name]

    def __len__(self) -> int:
        """Count the rows."""
        return len(next(iter(self.arrays.values())))

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return sum(array.nbytes for array in self.arrays.values())

    def take(self, rows: NDArray[Any] | slice) -> Columns:
        """Choose rows by mask, number or slice."""
        return Columns(self.layout, {name: array[rows] for name, array in self.arrays.items()})

    def pack(self) -> dict[str, Any]:
        """Turn into a map of the number of rows and a ``bytes`` a column."""
        return {"n": len(self), **{name: array.tobytes() for name, array in self.arrays.items()}}


def _shape(rows: int, width: int) -> tuple[int, ...]:
    return (rows,) if width == 1 else (rows, width)
