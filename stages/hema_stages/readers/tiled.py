"""Tiled TIFF: compressed tiles read by index, decoded here; a bounded number of them kept."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stages.readers.jpeg import jpeg_decoder
from hema_stream.core.errors import InputCode, InputError

CACHE_BYTES = 64 << 20
JPEG = 7


class TiledTiff:
    """Levels of a tiled TIFF, largest first."""

    def __init__(self, path: Path, engine: str) -> None:
        import tifffile

        self._path = path
        self._file = tifffile.TiffFile(path)
        self._pages = tiled_pages(self._file)
        self._decode_jpeg = jpeg_decoder(engine)
        self._kept: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()
        self._bytes = 0

    def region(self, level: int, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """Put a region together from its tiles."""
        page = self._pages[level]
        side_x, side_y = page.tilewidth, page.tilelength
        across = -(-page.imagewidth // side_x)
        out = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
        for row in range(y0 // side_y, (y1 - 1) // side_y + 1):
            for column in range(x0 // side_x, (x1 - 1) // side_x + 1):
                tile = self._tile(level, row * across + column)
                left, top = column * side_x, row * side_y
                u0, v0 = max(x0, left), max(y0, top)
                u1, v1 = min(x1, left + tile.shape[1]), min(y1, top + tile.shape[0])
                out[v0 - y0 : v1 - y0, u0 - x0 : u1 - x0] = tile[v0 - top : v1 - top, u0 - left : u1 - left]
        return out

    def close(self) -> None:
        """Close the file and forget the tiles."""
        self._kept.clear()
        self._file.close()

    def _tile(self, level: int, index: int) -> NDArray[np.uint8]:
        key = (level, index)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        tile = self._decode(self._pages[level], index)
        self._kept[key] = tile
        self._bytes += tile.nbytes
        while self._bytes > CACHE_BYTES and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return tile

    def _decode(self, page: Any, index: int) -> NDArray[np.uint8]:
        handle = self._file.filehandle
        handle.seek(page.dataoffsets[index])
        data = handle.read(page.databytecounts[index])
        if not data:  # a sparse tile: nothing was written there
            return np.full((page.tilelength, page.tilewidth, 3), 255, np.uint8)
        try:
            if int(page.compression) == JPEG and _is_plain_jpeg(page):
                return self._decode_jpeg(with_tables(data, page.jpegtables))
            decoded, _, _ = page.decode(data, index, jpegtables=page.jpegtables)
            return np.asarray(decoded, np.uint8).reshape(decoded.shape[-3:])[..., :3]
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"tile {index} cannot be decoded: {error}",
                place=str(self._path),
                remedy="the file is damaged there; scan or export it again",
                code=InputCode.UNREADABLE,
            ) from error


def tiled_pages(file: Any) -> list[Any]:
    """List the pages of the first series' levels; ValueError where it is not tiled."""
    pages = [level.keyframe for level in file.series[0].levels]
    if not all(page.is_tiled for page in pages):
        raise ValueError("not tiled")
    return pages


def with_tables(data: bytes, tables: bytes | None) -> bytes:
    """Make a whole JPEG stream of an abbreviated one and the tables that TIFF keeps apart."""
    if not tables:
        return data
    return data[:2] + tables[2:-2] + data[2:]


def _is_plain_jpeg(page: Any) -> bool:
    """Whether the stream's own colour transform is the usual YCbCr, which every decoder assumes."""
    return int(page.photometric) == 6 and page.bitspersample == 8
