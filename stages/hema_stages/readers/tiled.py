"""Tiled TIFF: compressed tiles read by index, decoded here; a bounded number of them kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from hema_stages.readers.jpeg import JpegDecoder
from hema_stages.readers.tiff_pages import open_tiff, picture_pages
from hema_stages.readers.tiff_pieces import Pieces
from hema_stream.core.errors import InputCode, InputError

KEPT_BYTES = 16 << 20

Pixels = NDArray[np.uint8]


class TiledTiff:
    """Levels of a tiled TIFF, largest first, as they are stored.

    Args:
        path: the file.
        decoder: of JPEG tiles.
        kept_bytes: decoded tiles that are kept, the latest used.

    Raises:
        InputError: the file cannot be opened any more.
    """

    def __init__(self, path: Path, decoder: JpegDecoder, kept_bytes: int = KEPT_BYTES) -> None:
        try:
            self._file = open_tiff(path)
            self._levels = [Pieces(self._file, page, path, decoder) for page in picture_pages(self._file, path)]
        except (OSError, ValueError) as error:
            raise InputError(
                "cannot be opened any more",
                place=str(path),
                remedy="the file was moved or changed; submit it again",
                code=InputCode.UNREADABLE,
            ) from error
        self._kept: LRUCache[tuple[int, int], Pixels] = LRUCache(kept_bytes, getsizeof=lambda tile: tile.nbytes)

    def region(self, level: int, x0: int, y0: int, x1: int, y1: int) -> Pixels:
        """Put a region together from its tiles; InputError names the first tile that is damaged."""
        pieces = self._levels[level]
        wide, high = pieces.width, pieces.height
        columns = range(x0 // wide, (x1 - 1) // wide + 1)
        rows = range(y0 // high, (y1 - 1) // high + 1)
        places = {row * pieces.across + column: (column * wide, row * high) for row in rows for column in columns}
        out = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
        for index, tile in self._tiles(level, list(places)):
            left, top = places[index]
            u0, v0 = max(x0, left), max(y0, top)
            u1, v1 = min(x1, left + wide), min(y1, top + high)
            out[v0 - y0 : v1 - y0, u0 - x0 : u1 - x0] = tile[v0 - top : v1 - top, u0 - left : u1 - left]
        return out

    def close(self) -> None:
        """Close the file and forget the tiles."""
        self._kept.clear()
        self._file.close()

    def _tiles(self, level: int, indices: list[int]) -> Iterator[tuple[int, Pixels]]:
        """Give each tile once: those kept, then the others, decoded in batches of bounded size."""
        missing = []
        for index in indices:
            tile = self._kept.get((level, index))
            if tile is None:
                missing.append(index)
            else:
                yield index, tile
        pieces = self._levels[level]
        for start in range(0, len(missing), pieces.batch):
            batch = missing[start : start + pieces.batch]
            for index, tile in zip(batch, pieces.decode(batch), strict=True):
                if tile.nbytes <= self._kept.maxsize:
                    self._kept[level, index] = tile
                yield index, tile
