"""Plain images: decoded whole, once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hema_stages.readers.jpeg import jpeg_decoder
from hema_stream.core.errors import InputCode, InputError


class PlainImage:
    """PNG, JPEG or plain TIFF as one level."""

    def __init__(self, path: Path, engine: str) -> None:
        self._pixels = decode_whole(path, engine)

    def region(self, level: int, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """Return a view of the decoded picture."""
        return self._pixels[y0:y1, x0:x1]

    def close(self) -> None:
        """Free the pixels."""
        self._pixels = np.zeros((0, 0, 3), np.uint8)


def decode_whole(path: Path, engine: str) -> NDArray[np.uint8]:
    """Decode a picture to (H, W, 3) uint8 RGB; an alpha channel is dropped.

    Raises:
        InputError: truncated, or not readable as what it says it is.
    """
    data = path.read_bytes()
    if data[:2] == b"\xff\xd8":
        check_jpeg_end(data, path)
        return jpeg_decoder(engine)(data)
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # validate has checked the declared size against the product's own limits
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"), np.uint8)
    except (OSError, SyntaxError, UnidentifiedImageError, ValueError) as error:
        code = InputCode.TRUNCATED if "truncated" in str(error).lower() else InputCode.UNREADABLE
        raise InputError(
            f"cannot be decoded: {error}", place=str(path), remedy="export the image again", code=code
        ) from error


def check_jpeg_end(data: bytes, path: Path) -> None:
    """Raise InputError where a JPEG has no end-of-image marker near its end."""
    if b"\xff\xd9" not in data[-4096:]:
        raise InputError(
            "the JPEG ends before its end marker",
            place=str(path),
            remedy="copy the file again, it was cut short",
            code=InputCode.TRUNCATED,
        )
