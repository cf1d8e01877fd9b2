"""JPEG streams to pixels, by simplejpeg or by DALI's CPU back end."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.errors import ConfigError, InputCode, InputError

Decoder = Callable[[bytes], NDArray[np.uint8]]


def dali_installed() -> bool:
    """Whether DALI can be imported, without doing so."""
    return importlib.util.find_spec("nvidia") is not None and importlib.util.find_spec("nvidia.dali") is not None


def jpeg_decoder(engine: str) -> Decoder:
    """Choose a decoder of whole JPEG streams to (H, W, 3) uint8 RGB.

    Raises:
        ConfigError: DALI is asked for and not installed.
    """
    if engine == "plain" or (engine == "auto" and not dali_installed()):
        return _decode_plain
    if not dali_installed():
        raise ConfigError("DALI is not installed", place="decode.engine", remedy="pip install 'hema-stream[dali]'")
    return _decode_dali


def _decode_plain(data: bytes) -> NDArray[np.uint8]:
    import simplejpeg

    try:
        return np.asarray(simplejpeg.decode_jpeg(data, colorspace="RGB"), np.uint8)
    except ValueError as error:
        raise InputError(f"broken JPEG: {error}", code=InputCode.UNREADABLE, remedy="export the image again") from error


def _decode_dali(data: bytes) -> NDArray[np.uint8]:
    pipeline = _dali_pipeline()
    pipeline.feed_input("stream", [np.frombuffer(data, np.uint8)])
    try:
        (pictures,) = pipeline.run()
        return np.array(pictures.at(0), np.uint8)
    except RuntimeError as error:
        _dali_pipeline.cache_clear()  # a pipeline that failed stays failed
        first = str(error).strip().splitlines()[0]
        raise InputError(f"broken JPEG: {first}", code=InputCode.UNREADABLE, remedy="export the image again") from error


@cache
def _dali_pipeline() -> Any:
    """Build the one-stream pipeline; on a machine without a GPU the CPU back end decodes."""
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(batch_size=1, num_threads=1, device_id=None, prefetch_queue_depth=1, exec_dynamic=False)  # type: ignore[untyped-decorator]
    def decode() -> Any:
        streams = fn.external_source(name="stream", device="cpu")
        return fn.decoders.image(streams, device="cpu", output_type=types.RGB)

    built = decode()
    built.build()
    return built
