"""JPEG streams to pixels: by simplejpeg, or a batch at a time by DALI's CPU back end."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hema_stages.readers.jpeg_stream import END
from hema_stream.core.errors import ConfigError

BATCH = 16


class BrokenJpegError(ValueError):
    """A stream that is damaged.

    Attributes:
        index: which of the streams that were given.
        cut: whether it ends before its end marker.
        said: what is wrong with it, for a person.
    """

    def __init__(self, index: int, reason: str, cut: bool) -> None:
        super().__init__(f"broken JPEG: {reason}")
        self.index, self.cut = index, cut
        self.said = "is cut short" if cut else "holds damaged data"


class JpegDecoder(Protocol):
    """Decodes whole JPEG streams whose declared sizes have been checked."""

    def warm(self) -> None:
        """Load libraries and build what is built once."""
        ...

    def decode(self, streams: Sequence[bytes]) -> list[NDArray[np.uint8]]:
        """Decode each stream to (H, W, 3) uint8 RGB; BrokenJpegError names the first that is damaged."""
        ...


class PlainDecoder:
    """simplejpeg (libjpeg-turbo), strict: what libjpeg would only warn of is an error."""

    def warm(self) -> None:
        """Load simplejpeg."""
        import simplejpeg  # noqa: F401

    def decode(self, streams: Sequence[bytes]) -> list[NDArray[np.uint8]]:
        """Decode streams one by one."""
        return [self._decode(index, stream) for index, stream in enumerate(streams)]

    def _decode(self, index: int, stream: bytes) -> NDArray[np.uint8]:
        return _strictly(index, stream, colorspace="RGB")


class DaliDecoder:
    """DALI's CPU back end (``device_id=None``): a batch a call.

    A batch that DALI refuses goes through ``PlainDecoder``, which names the damaged stream. DALI itself says nothing of
    streams whose entropy-coded data are damaged but complete, and gives garbled pixels: libjpeg reads those data first.

    Args:
        threads: of the pipeline.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._pipeline: Any = None

    def warm(self) -> None:
        """Load DALI and build its pipeline."""
        self._pipeline = _build(self._threads)

    def decode(self, streams: Sequence[bytes]) -> list[NDArray[np.uint8]]:
        """Decode streams in batches of at most 16: its buffers stay as large as the largest batch."""
        decoded: list[NDArray[np.uint8]] = []
        for start in range(0, len(streams), BATCH):
            try:
                decoded += self._run(streams[start : start + BATCH])
            except BrokenJpegError as error:
                error.index += start
                raise
            except RuntimeError:
                self._pipeline = None  # once failed it stays failed
                decoded += _renumbered(streams, start)
        return decoded

    def _run(self, streams: Sequence[bytes]) -> list[NDArray[np.uint8]]:
        _check_entropy(streams)
        if self._pipeline is None:
            self._pipeline = _build(self._threads)
        self._pipeline.feed_input("streams", [np.frombuffer(stream, np.uint8) for stream in streams])
        (pictures,) = self._pipeline.run()
        return [np.array(pictures.at(index), np.uint8) for index in range(len(streams))]  # its memory is used again


def _strictly(index: int, stream: bytes, **options: Any) -> NDArray[np.uint8]:
    """Decode with libjpeg; what it would only warn of is an error."""
    import simplejpeg

    try:
        return np.asarray(simplejpeg.decode_jpeg(stream, **options), np.uint8)
    except ValueError as error:
        cut = END not in stream[-4096:] or "premature end" in str(error).lower()
        raise BrokenJpegError(index, str(error), cut) from error


def _check_entropy(streams: Sequence[bytes]) -> None:
    """Read all coefficients and make pixels of the mean of each block alone: a third of the cost of decoding."""
    for index, stream in enumerate(streams):
        _strictly(index, stream, colorspace="GRAY", min_height=1, min_width=1, min_factor=8)


def _renumbered(streams: Sequence[bytes], start: int) -> list[NDArray[np.uint8]]:
    try:
        return PlainDecoder().decode(streams[start : start + BATCH])
    except BrokenJpegError as error:
        error.index += start
        raise


def _build(threads: int) -> Any:
    from nvidia.dali import fn, types
    from nvidia.dali.pipeline import Pipeline

    pipeline = Pipeline(BATCH, threads, None, prefetch_queue_depth=1, exec_dynamic=False)
    with pipeline:
        streams = fn.external_source(name="streams", device="cpu")
        pipeline.set_outputs(_decoded(fn, types, streams))
    pipeline.build()
    return pipeline


def _decoded(fn: Any, types: Any, streams: Any) -> Any:
    """Pixels as they are stored: who reads turns them as the file says, for every decoder alike."""
    return fn.decoders.image(streams, device="cpu", output_type=types.RGB, adjust_orientation=False)


def dali_installed() -> bool:
    """Whether DALI can be imported, without doing so."""
    return importlib.util.find_spec("nvidia") is not None and importlib.util.find_spec("nvidia.dali") is not None


def jpeg_decoder(engine: str, threads: int = 1) -> JpegDecoder:
    """Choose a decoder: ``plain``, ``dali``, or ``auto`` for DALI where it is installed.

    Raises:
        ConfigError: DALI is asked for and not installed.
    """
    if engine == "dali" and not dali_installed():
        raise ConfigError("DALI is not installed", place="decode.engine", remedy="pip install 'hema-stream[dali]'")
    if engine == "plain" or not dali_installed():
        return PlainDecoder()
    return DaliDecoder(threads)
