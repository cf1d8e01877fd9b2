"""Plain images: decoded whole, once, and turned as their orientation tag says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stages.readers.jpeg import BrokenJpegError, JpegDecoder
from hema_stages.readers.jpeg_stream import START
from hema_stream.core.errors import InputCode, InputError

PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND"
AGAIN = "copy or export the image again"


class PlainImage:
    """PNG, JPEG or plain TIFF as one level."""

    def __init__(self, path: Path, decoder: JpegDecoder) -> None:
        self._pixels = decode_whole(path, decoder)
        self._pixels.flags.writeable = False

    def region(self, level: int, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """Return a read-only view of the decoded picture."""
        return self._pixels[y0:y1, x0:x1]

    def close(self) -> None:
        """Free the pixels."""
        self._pixels = np.zeros((0, 0, 3), np.uint8)


def decode_whole(path: Path, decoder: JpegDecoder) -> NDArray[np.uint8]:
    """Decode a picture whose declared size has been checked to (H, W, 3) uint8 RGB, upright; alpha is dropped.

    Raises:
        InputError: ``truncated``, or ``unreadable`` as what it says it is.
    """
    try:
        data = path.read_bytes()
        if data[:2] == START:
            pixels = _decode_jpeg(data, decoder, path)
        elif data[:8] == PNG:
            pixels = _decode_png(data, path)
        else:
            pixels = _decode_tiff(path)
    except OSError as error:
        raise _broken(path, str(error), InputCode.UNREADABLE) from error
    return turned(np.ascontiguousarray(pixels[..., :3]), orientation_of(path))


def _decode_jpeg(data: bytes, decoder: JpegDecoder, path: Path) -> NDArray[np.uint8]:
    try:
        return decoder.decode([data])[0]
    except BrokenJpegError as error:
        raise _broken(path, str(error), InputCode.TRUNCATED if error.cut else InputCode.UNREADABLE) from error


def _decode_png(data: bytes, path: Path) -> NDArray[np.uint8]:
    import imagecodecs

    try:
        return np.asarray(imagecodecs.png_decode(data), np.uint8)
    except (RuntimeError, ValueError) as error:
        code = InputCode.UNREADABLE if _PNG_END in data[-64:] else InputCode.TRUNCATED
        raise _broken(path, f"broken PNG: {error}", code) from error


def _decode_tiff(path: Path) -> NDArray[np.uint8]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            pixels = np.asarray(page.asarray(maxworkers=1), np.uint8)
            return np.moveaxis(pixels, 0, -1) if int(page.planarconfig) == 2 else pixels
    except MemoryError:
        raise
    except Exception as error:  # every codec has errors of its own
        raise _broken(path, f"broken TIFF: {error}", InputCode.UNREADABLE) from error


def _broken(path: Path, what: str, code: InputCode) -> InputError:
    return InputError(f"cannot be decoded: {what}", place=str(path), remedy=AGAIN, code=code)


def orientation_of(path: Path) -> int:
    """Read the orientation tag, 1..8; 1 where there is none. Looks at headers only.

    Raises:
        OSError, SyntaxError, ValueError: the headers are damaged.
    """
    with path.open("rb") as handle:
        magic = handle.read(8)
    if magic[:2] == START or magic == PNG:
        from PIL.Image import Exif

        exif = Exif()
        exif.load(picture_header(path).info.get("exif", b""))
        found = exif.get(0x0112, 1)
    else:
        import tifffile

        with tifffile.TiffFile(path) as file:
            found = file.pages.first.tags.valueof("Orientation", 1)
    return int(found) if isinstance(found, int) and 1 <= found <= 8 else 1


def picture_header(path: Path) -> Any:
    """Read the headers of a PNG or JPEG with PIL, past PIL's own limit of size: validate applies the product's.

    Raises:
        OSError, SyntaxError, ValueError: the headers are damaged.
    """
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    with path.open("rb") as handle:
        jpeg = handle.read(2) == START
    with JpegImageFile(path) if jpeg else PngImageFile(path) as image:
        return image


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn (H, W, 3) pixels upright from an orientation tag (Exif 2.32, 0x0112), 1 being upright."""
    if orientation == 1:
        return pixels
    flipped = pixels[:, ::-1] if orientation in (2, 4, 5, 7) else pixels
    quarters = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}[orientation]
    return np.ascontiguousarray(np.rot90(flipped, quarters))
