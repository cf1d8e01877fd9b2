"""What a TIFF page says about its colours: what is honoured, and what is refused because it would be read wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stages.readers.alpha import without_alpha
from hema_stream.core.errors import InputCode, InputError

AGAIN = "export it as 8-bit RGB PNG, JPEG or TIFF"
RGB, YCBCR = 2, 6
JPEG = 7
NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS, ZSTD, LZMA = 1, 5, 8, 32946, 32773, 50000, 34925
BYTE_CODECS = frozenset({NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS, ZSTD, LZMA})
"""Codecs that give bytes back as they were, whose order and meaning the page's tags tell."""
PREDICTED = frozenset({LZW, DEFLATE, OLD_DEFLATE, ZSTD, LZMA})
"""Codecs with which libtiff honours a predictor."""
PICTURE_CODECS = frozenset({JPEG, 34712, 34933, 50001, 50002, 52546})
"""Codecs of whole pictures: JPEG, JPEG 2000, PNG, WebP, JPEG XL (under two numbers)."""
NO_PREDICTOR, HORIZONTAL = 1, 2
UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 0, 1, 2
CHUNKY = 1
_REC_601 = (0.299, 0.587, 0.114)
_FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)


def check_page(page: Any, path: Path) -> None:
    """Raise InputError (wrong_color, unsupported_format) where a page would not be read as it is meant."""
    check_rgb(page, path)
    codec, photometric = int(page.compression), int(page.photometric)
    if codec not in BYTE_CODECS | PICTURE_CODECS:
        raise _unsupported(path, f"compression {codec} is not read")
    _check_codec_is_there(page, path)
    if codec in PICTURE_CODECS and int(page.planarconfig) != CHUNKY:
        raise _unsupported(path, "its colours are compressed as pictures of their own")
    if codec == JPEG and page.samplesperpixel != 3:
        raise _unsupported(path, "its JPEG has an alpha channel")
    if photometric == YCBCR and codec != JPEG:
        _check_ycbcr(page, path)
    if int(page.predictor) not in (NO_PREDICTOR, HORIZONTAL if codec in PREDICTED else NO_PREDICTOR):
        raise _unsupported(path, f"predictor {int(page.predictor)} with compression {codec} is not read")


def check_rgb(page: Any, path: Path) -> None:
    """Raise InputError (wrong_color) unless a page has three or four channels of 8 bits, RGB or YCbCr."""
    name = getattr(page.photometric, "name", page.photometric)
    shown = f"{name}, {page.bitspersample} bits, {page.samplesperpixel} channels"
    plain = page.bitspersample == 8 and page.sampleformat == 1
    if not plain or page.samplesperpixel not in (3, 4) or int(page.photometric) not in (RGB, YCBCR):
        raise wrong_color(path, shown)
    if page.samplesperpixel == 4 and _fourth(page) not in (UNSPECIFIED, ASSOCIATED, UNASSOCIATED):
        raise wrong_color(path, f"{shown}, the fourth of an unknown kind")


def wrong_color(path: Path, what: str) -> InputError:
    """Refuse what is not 8-bit RGB."""
    return InputError(f"not 8-bit RGB but {what}", place=str(path), remedy=AGAIN, code=InputCode.WRONG_COLOR)


def to_rgb(pixels: NDArray[np.uint8], page: Any) -> NDArray[np.uint8]:
    """Turn (H, W, 3 or 4) decoded samples of a checked page into (H, W, 3) RGB."""
    if int(page.photometric) == YCBCR:
        return _rgb_of_ycbcr(pixels)
    if pixels.shape[-1] == 3:
        return pixels
    fourth = _fourth(page)
    return pixels[..., :3] if fourth == UNSPECIFIED else without_alpha(pixels, fourth == ASSOCIATED)


def _rgb_of_ycbcr(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    height, width, _ = pixels.shape
    picture = Image.frombytes("YCbCr", (width, height), np.ascontiguousarray(pixels).tobytes())
    return np.asarray(picture.convert("RGB"), np.uint8)


def _fourth(page: Any) -> int:
    kinds = page.extrasamples
    return int(kinds[0]) if kinds else UNSPECIFIED


def _check_ycbcr(page: Any, path: Path) -> None:
    """Stored YCbCr is read where it is stored whole, in Rec. 601's colours and full range; TIFF's defaults are not."""
    codec, tags = int(page.compression), page.tags
    alike = (
        codec in BYTE_CODECS
        and page.samplesperpixel == 3
        and tuple(tags.valueof("YCbCrSubSampling", (2, 2))) == (1, 1)
        and np.allclose(_rationals(tags.valueof("YCbCrCoefficients")) or _REC_601, _REC_601, atol=1e-3)
        and np.allclose(_rationals(tags.valueof("ReferenceBlackWhite")) or _FULL_RANGE, _FULL_RANGE)
    )
    if not alike:
        raise wrong_color(path, "YCbCr of a kind that is not read")


def _rationals(value: Any) -> tuple[float, ...]:
    """Numbers of a tag of rationals, which come as numerators and denominators in turn."""
    if value is None:
        return ()
    return tuple(n / d if d else float("inf") for n, d in zip(value[::2], value[1::2], strict=True))


def _check_codec_is_there(page: Any, path: Path) -> None:
    import tifffile

    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
    except (KeyError, ImportError) as error:
        raise _unsupported(path, f"compression {int(page.compression)} is not read") from error


def _unsupported(path: Path, what: str) -> InputError:
    return InputError(what, place=str(path), remedy=AGAIN, code=InputCode.UNSUPPORTED_FORMAT)
