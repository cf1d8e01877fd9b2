"""Tiled TIFF: compressed tiles read by index, decoded here; a bounded number of them kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from hema_stages.readers.jpeg import BrokenJpegError, JpegDecoder
from hema_stages.readers.jpeg_stream import frame_of, table_segments, whole_stream
from hema_stream.core.errors import InputCode, InputError

KEPT_BYTES = 16 << 20
BATCH_PIXELS = 16_000_000
MOST_LEVELS = 64
JPEG, RGB, YCBCR = 7, 2, 6

Pixels = NDArray[np.uint8]


class TiledTiff:
    """Levels of a tiled TIFF, largest first.

    Args:
        path: the file.
        decoder: of JPEG tiles; tiles of other compressions are decoded by tifffile.
        kept_bytes: decoded tiles that are kept, the latest used.

    Raises:
        InputError: the file cannot be opened any more.
    """

    def __init__(self, path: Path, decoder: JpegDecoder, kept_bytes: int = KEPT_BYTES) -> None:
        import tifffile

        self._path = path
        self._decoder = decoder
        try:
            self._file = tifffile.TiffFile(path)
            self._pages = tiled_pages(self._file)
        except (OSError, ValueError) as error:
            raise self._unreadable(f"cannot be opened: {error}") from error
        self._tables = [table_segments(page.jpegtables) for page in self._pages]
        self._kept: LRUCache[tuple[int, int], Pixels] = LRUCache(kept_bytes, getsizeof=lambda tile: tile.nbytes)

    def region(self, level: int, x0: int, y0: int, x1: int, y1: int) -> Pixels:
        """Put a region together from its tiles; InputError names the first tile that is damaged."""
        page = self._pages[level]
        wide, high = page.tilewidth, page.tilelength
        columns = range(x0 // wide, (x1 - 1) // wide + 1)
        rows = range(y0 // high, (y1 - 1) // high + 1)
        across = -(-page.imagewidth // wide)
        places = {row * across + column: (column * wide, row * high) for row in rows for column in columns}
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
        page = self._pages[level]
        count = max(BATCH_PIXELS // (page.tilewidth * page.tilelength), 1)
        for start in range(0, len(missing), count):
            batch = missing[start : start + count]
            for index, tile in zip(batch, self._decode(level, batch), strict=True):
                if tile.nbytes <= self._kept.maxsize:
                    self._kept[level, index] = tile
                yield index, tile

    def _decode(self, level: int, indices: list[int]) -> list[Pixels]:
        page = self._pages[level]
        stored = [self._stored(page, index) for index in indices]
        if int(page.compression) != JPEG or int(page.photometric) not in (RGB, YCBCR):
            return [self._decode_other(page, index, data) for index, data in zip(indices, stored, strict=True)]
        present = [place for place, data in enumerate(stored) if data]
        streams = [self._stream(level, indices[place], stored[place]) for place in present]
        tiles: list[Pixels | None] = [None] * len(indices)
        try:
            for place, pixels in zip(present, self._decoder.decode(streams), strict=True):
                tiles[place] = _filled(pixels, page)
        except BrokenJpegError as error:
            raise self._broken(indices[present[error.index]], str(error)) from error
        return [_unwritten(page) if tile is None else tile for tile in tiles]

    def _stored(self, page: Any, index: int) -> bytes:
        """Read a tile as it lies in the file; empty where nothing was ever written there."""
        return os.pread(self._file.filehandle.fileno(), page.databytecounts[index], page.dataoffsets[index])

    def _stream(self, level: int, index: int, data: bytes) -> bytes:
        """Make a whole JPEG stream whose declared size is the tile's at most, whatever else it may hold."""
        page = self._pages[level]
        try:
            frame = frame_of(data)
            stream = whole_stream(data, self._tables[level], int(page.photometric) == YCBCR)
        except (ValueError, IndexError) as error:
            raise self._broken(index, str(error)) from error
        if frame.width > page.tilewidth or frame.height > page.tilelength:
            raise self._broken(index, f"declares {frame.width} x {frame.height} px, more than a tile has")
        if (frame.components, frame.precision) != (3, 8):
            raise self._broken(index, f"has {frame.components} components of {frame.precision} bits, not 3 of 8")
        return stream

    def _decode_other(self, page: Any, index: int, data: bytes) -> Pixels:
        if not data:
            return _unwritten(page)
        try:
            decoded, _, _ = page.decode(data, index, jpegtables=page.jpegtables)
            pixels = np.asarray(decoded, np.uint8)
            return _filled(pixels.reshape(pixels.shape[-3:])[..., :3], page)
        except MemoryError:
            raise
        except Exception as error:  # every codec has errors of its own
            raise self._broken(index, str(error)) from error

    def _broken(self, index: int, why: str) -> InputError:
        return self._unreadable(f"tile {index} cannot be decoded: {why}")

    def _unreadable(self, what: str) -> InputError:
        remedy = "the file is damaged there; scan or export it again"
        return InputError(what, place=str(self._path), remedy=remedy, code=InputCode.UNREADABLE)


def tiled_pages(file: Any) -> list[Any]:
    """List the pages of the picture's levels as the file has them, whether or not they belong together.

    Levels are the first page's SubIFDs (OME-TIFF, tifffile), else the pages marked as reduced (libtiff, libvips), else
    those that tifffile takes for levels.

    Raises:
        ValueError: one is not tiled with interleaved channels.
    """
    first = file.pages.first
    if first.subifds:
        reduced = list(first.pages)
    else:
        reduced = [page for page in islice(file.pages, 1, MOST_LEVELS) if page.subfiletype & 1 and page.is_tiled]
    pages = [first, *reduced] if reduced else [level.keyframe for level in file.series[0].levels]
    if not all(page.is_tiled and int(page.planarconfig) == 1 for page in pages):
        raise ValueError("not stored in tiles of interleaved channels")
    return pages


def _unwritten(page: Any) -> Pixels:
    return np.full((page.tilelength, page.tilewidth, 3), 255, np.uint8)


def _filled(pixels: Pixels, page: Any) -> Pixels:
    """Give a tile its full size; some writers cut those at the border."""
    if pixels.shape == (page.tilelength, page.tilewidth, 3):
        return pixels
    whole = _unwritten(page)
    whole[: pixels.shape[0], : pixels.shape[1]] = pixels
    return whole
