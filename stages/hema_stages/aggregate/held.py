"""Crops held back until it is known which view of a cell is counted; past a limit they wait on disk."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.crops import Crops


@dataclass(frozen=True, eq=False)
class _OnDisk:
    stream: str
    keys: NDArray[np.int32]
    widened: NDArray[np.float32]
    offset: int
    shape: tuple[int, ...]


class HeldCrops:
    """Crops of one slide by tile, in memory up to ``limit`` bytes, in a temporary file beyond it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._tiles: dict[int, list[Crops | _OnDisk]] = {}
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        """Count the tiles that have crops waiting."""
        return len(self._tiles)

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        return self._bytes

    def hold(self, tile: int, crops: tuple[Crops, ...]) -> None:
        """Keep a tile's crops."""
        if crops:
            self._tiles[tile] = [self._store(part) for part in crops]

    def release(self, keys: NDArray[np.int32]) -> list[Crops]:
        """Hand out the crops of these (N, 2) keys; what was never held is passed over."""
        out: list[Crops] = []
        for tile in np.unique(keys[:, 0]):
            wanted = keys[keys[:, 0] == tile, 1]
            for part in self._tiles.get(int(tile), []):
                rows = np.flatnonzero(np.isin(part.keys[:, 1], wanted))
                if len(rows):
                    out.append(Crops(part.stream, self._pixels(part)[rows], part.keys[rows], part.widened[rows]))
        return out

    def forget(self, tile: int) -> None:
        """Free what is left of a tile."""
        for part in self._tiles.pop(tile, []):
            if isinstance(part, Crops):
                self._bytes -= part.nbytes

    def close(self) -> None:
        """Free everything, the temporary file too."""
        self._tiles.clear()
        self._bytes = 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def _store(self, part: Crops) -> Crops | _OnDisk:
        if self._bytes + part.nbytes <= self._limit:
            self._bytes += part.nbytes
            return part
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="hema-stream-crops-")  # noqa: SIM115  lives as long as the slide
        offset = self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(part.pixels).data)
        return _OnDisk(part.stream, part.keys, part.widened, offset, part.pixels.shape)

    def _pixels(self, part: Crops | _OnDisk) -> NDArray[np.uint8]:
        if isinstance(part, Crops):
            return part.pixels
        assert self._file is not None
        self._file.seek(part.offset)
        raw = self._file.read(int(np.prod(part.shape)))
        return np.frombuffer(raw, np.uint8).reshape(part.shape)
