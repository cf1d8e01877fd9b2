"""Pieces of a TIFF page, tiles or strips, decoded to RGB: one way for every layout."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stages.readers.jpeg import BrokenJpegError, JpegDecoder
from hema_stages.readers.jpeg_stream import frame_of, table_segments, whole_stream
from hema_stages.readers.tiff_colour import BYTE_CODECS, CHUNKY, HORIZONTAL, JPEG, NONE, YCBCR, to_rgb
from hema_stream.core.errors import InputCode, InputError

BATCH_PIXELS = 16_000_000
_BACKWARDS = 2
"""FillOrder: the lowest bit of each byte comes first."""

Pixels = NDArray[np.uint8]


class Pieces:
    """The pieces of one page that ``tiff_colour.check_page`` has passed.

    Args:
        file, page: tifffile's.
        path: for errors.
        decoder: of JPEG.

    Attributes:
        width, height: of a piece, pixels; across, down: pieces of the page.
    """

    def __init__(self, file: Any, page: Any, path: Path, decoder: JpegDecoder) -> None:
        self._file, self._page, self._path, self._decoder = file, page, path, decoder
        self._size = int(page.imagewidth), int(page.imagelength)
        self.width, self.height = piece_size(page)
        self.across, self.down = -(-self._size[0] // self.width), -(-self._size[1] // self.height)
        self._tables = table_segments(page.jpegtables)

    @property
    def batch(self) -> int:
        """How many are decoded at once."""
        return max(BATCH_PIXELS // (self.width * self.height), 1)

    def decode(self, indices: list[int]) -> list[Pixels]:
        """Decode pieces to (height, width, 3) uint8 RGB each; InputError names the first that is damaged.

        Pieces at the border may be filled up with white, and those that were never written are white.
        """
        if int(self._page.compression) == JPEG:
            return self._decode_jpeg(indices)
        return [self._filled(self._decode_other(index)) for index in indices]

    def whole(self) -> Pixels:
        """Decode the page to (H, W, 3) uint8 RGB."""
        out = np.empty((self._size[1], self._size[0], 3), np.uint8)
        indices = list(range(self.across * self.down))
        for start in range(0, len(indices), self.batch):
            some = indices[start : start + self.batch]
            for index, pixels in zip(some, self.decode(some), strict=True):
                row, column = divmod(index, self.across)
                place = out[row * self.height :, column * self.width :][: self.height, : self.width]
                place[:] = pixels[: place.shape[0], : place.shape[1]]
        return out

    def _decode_jpeg(self, indices: list[int]) -> list[Pixels]:
        stored = [self._stored(index) for index in indices]
        present = [place for place, data in enumerate(stored) if data]
        streams = [self._stream(indices[place], stored[place]) for place in present]
        pieces = [self._unwritten()] * len(indices)
        try:
            for place, pixels in zip(present, self._decoder.decode(streams), strict=True):
                pieces[place] = self._filled(pixels)
        except BrokenJpegError as error:
            raise self._broken(indices[present[error.index]], f"it {error.said}") from error
        return pieces

    def _stored(self, index: int) -> bytes:
        """Read a piece as it lies in the file; empty where nothing was ever written there."""
        page = self._page
        return os.pread(self._file.filehandle.fileno(), page.databytecounts[index], page.dataoffsets[index])

    def _stream(self, index: int, data: bytes) -> bytes:
        """Make a whole JPEG stream whose declared size is the piece's at most, whatever else it may hold."""
        try:
            frame = frame_of(data)
            stream = whole_stream(data, self._tables, int(self._page.photometric) == YCBCR)
        except (ValueError, IndexError) as error:
            raise self._broken(index, "it is no JPEG") from error
        if frame.width > self.width or frame.height > self.height:
            raise self._broken(index, f"it declares {frame.width} x {frame.height} px, more than a piece has")
        if (frame.components, frame.precision) != (3, 8):
            raise self._broken(index, f"it has {frame.components} components of {frame.precision} bits, not 3 of 8")
        return stream

    def _decode_other(self, index: int) -> Pixels:
        page = self._page
        planes = 1 if int(page.planarconfig) == CHUNKY else int(page.samplesperpixel)
        apart = [self._samples(plane * self.across * self.down + index, planes) for plane in range(planes)]
        written = [samples for samples in apart if samples is not None]
        if not written:
            return self._unwritten()
        if len(written) < planes:
            raise self._broken(index, "it lacks a colour")
        return to_rgb(written[0] if planes == 1 else np.concatenate(written, axis=2), page)

    def _samples(self, index: int, planes: int) -> Pixels | None:
        """Decode one piece of one plane to (h, w, samples); None where it was never written."""
        import tifffile

        page, data = self._page, self._stored(index)
        if not data:
            return None
        channels = int(page.samplesperpixel) // planes
        rows = self._rows(index)
        codec = tifffile.TIFF.DECOMPRESSORS[page.compression]
        try:
            if int(page.compression) in BYTE_CODECS:
                return self._unpacked(data, codec, (rows, self.width, channels))
            pixels = np.asarray(codec(data))
        except MemoryError:
            raise
        except Exception as error:  # every codec has errors of its own
            raise self._broken(index, "it holds damaged data") from error
        fits = pixels.ndim == 3 and pixels.shape[2] == channels and pixels.dtype == np.uint8
        if not fits or pixels.shape[0] > self.height or pixels.shape[1] > self.width or pixels.shape[0] < rows:
            raise self._broken(index, "it is no picture of the size and colours that the page tells")
        return pixels

    def _unpacked(self, data: bytes, codec: Any, shape: tuple[int, int, int]) -> Pixels:
        """Undo a codec of bytes, the order of bits and the predictor; ValueError where bytes are missing."""
        import imagecodecs
        import tifffile

        page, size = self._page, shape[0] * shape[1] * shape[2]
        room = self.height * shape[1] * shape[2]  # a last strip may be as long as the others
        if int(page.fillorder) == _BACKWARDS:
            data = bytes(imagecodecs.bitorder_decode(data))
        flat = np.frombuffer(data if int(page.compression) == NONE else codec(data, out=room), np.uint8)
        if len(flat) < size:
            raise ValueError("bytes are missing")
        samples = flat[:size].reshape(shape)
        if int(page.predictor) == HORIZONTAL:
            return np.asarray(tifffile.TIFF.UNPREDICTORS[HORIZONTAL](samples, axis=-2), np.uint8)
        return samples

    def _rows(self, index: int) -> int:
        """Rows that a piece must have: tiles are whole, a last strip may be short."""
        row = index % (self.across * self.down) // self.across
        return self.height if self._page.is_tiled else min(self.height, self._size[1] - row * self.height)

    def _unwritten(self) -> Pixels:
        return np.full((self.height, self.width, 3), 255, np.uint8)

    def _filled(self, pixels: Pixels) -> Pixels:
        """Give a piece its full size; some writers cut those at the border."""
        if pixels.shape == (self.height, self.width, 3):
            return pixels
        whole = self._unwritten()
        whole[: pixels.shape[0], : pixels.shape[1]] = pixels
        return whole

    def _broken(self, index: int, why: str) -> InputError:
        kind = "tile" if self._page.is_tiled else "strip"
        return InputError(
            f"{kind} {index} cannot be decoded: {why}",
            place=str(self._path),
            remedy="the file is damaged there; scan or export it again",
            code=InputCode.UNREADABLE,
        )


def piece_size(page: Any) -> tuple[int, int]:
    """Width and height of a page's tiles or strips, pixels."""
    if page.is_tiled:
        return int(page.tilewidth), int(page.tilelength)
    return int(page.imagewidth), min(int(page.rowsperstrip), int(page.imagelength))
