"""Plain images: decoded whole, once, and turned as their orientation tag says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stages.readers.alpha import without_alpha
from hema_stages.readers.jpeg import BrokenJpegError, JpegDecoder
from hema_stages.readers.jpeg_stream import START
from hema_stages.readers.png_chunks import END, PNG, exif_of
from hema_stages.readers.tiff_pages import open_tiff, orientation_of, picture_pages
from hema_stages.readers.tiff_pieces import Pieces
from hema_stages.readers.turned import TAG, orientation, turned
from hema_stream.core.errors import InputCode, InputError

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
    """Decode a picture whose declared size has been checked to (H, W, 3) uint8 RGB, upright, alpha dropped.

    Raises:
        InputError: ``truncated``, or ``unreadable`` as what it says it is.
    """
    try:
        with path.open("rb") as handle:
            magic = handle.read(len(PNG))
        if magic[:2] == START:
            return turned(_decode_jpeg(path, decoder), picture_orientation(path))
        if magic == PNG:
            return turned(np.ascontiguousarray(_decode_png(path)), picture_orientation(path))
        return _decode_tiff(path, decoder)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # damaged headers fail in as many ways as they have fields
        raise _broken(path, "cannot be read", InputCode.UNREADABLE) from error


def _decode_jpeg(path: Path, decoder: JpegDecoder) -> NDArray[np.uint8]:
    try:
        return decoder.decode([path.read_bytes()])[0]
    except BrokenJpegError as error:
        code = InputCode.TRUNCATED if error.cut else InputCode.UNREADABLE
        raise _broken(path, f"is a broken JPEG: it {error.said}", code) from error


def _decode_png(path: Path) -> NDArray[np.uint8]:
    import imagecodecs

    data = path.read_bytes()
    try:
        pixels = np.asarray(imagecodecs.png_decode(data), np.uint8)
    except (RuntimeError, ValueError) as error:
        cut = END not in data[-64:]
        code = InputCode.TRUNCATED if cut else InputCode.UNREADABLE
        raise _broken(
            path, f"is a broken PNG: {'it is cut short' if cut else 'it holds damaged data'}", code
        ) from error
    return without_alpha(pixels) if pixels.shape[-1] == 4 else pixels


def _decode_tiff(path: Path, decoder: JpegDecoder) -> NDArray[np.uint8]:
    with open_tiff(path) as file:
        page = picture_pages(file, path)[0]
        return turned(Pieces(file, page, path, decoder).whole(), orientation(orientation_of(page)))


def _broken(path: Path, what: str, code: InputCode) -> InputError:
    return InputError(what, place=str(path), remedy=AGAIN, code=code)


def picture_orientation(path: Path) -> int:
    """Read the orientation of a PNG or JPEG, 1..8; 1 where it tells none. Looks at headers only.

    Raises:
        Exception: of many kinds, where the headers are damaged.
    """
    from PIL.Image import Exif

    header = picture_header(path)
    exif = Exif()
    exif.load(exif_of(path) if header.format == "PNG" else header.info.get("exif", b""))
    return orientation(exif.get(TAG))


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
