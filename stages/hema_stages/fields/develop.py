"""Develop: a field's bytes become pixels, in a worker process that a hostile picture may crash."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hema_stages.calibration.foreground import background_colour, foreground_mask
from hema_stages.readers.jpeg import BrokenJpegError, PlainDecoder
from hema_stages.readers.jpeg_stream import frame_of
from hema_stages.readers.memory import bound_address_space
from hema_stream.core.errors import InputCode, InputError
from hema_stream.core.field import Field, Scan, Shot
from hema_stream.flow import Caps, Policy, Transform, process, prop

VIEW = 512
"""Longest side, pixels, of the view on which bare ground is told from tissue."""


class Develop(Transform[Field, Shot]):
    """Decode each field and say how much of it is tissue.

    A stream that declares another size than the scan's is refused before it is decoded; what cannot be read is a gap.
    """

    accepts = Caps("image/field")
    produces = Caps("image/shot")
    runs_on = process(workers=1)
    on_error = Policy.GAP
    deadline = 30.0

    address_space: int = prop(4 << 30, doc="what the worker may map beyond its libraries; 0: any", unit="bytes", ge=0)

    def start(self) -> None:
        """Load the decoders, keep OpenCV to one thread, and bound the worker's memory."""
        import cv2
        import simplejpeg  # noqa: F401  its libraries must not count

        cv2.setNumThreads(1)
        bound_address_space(self.address_space)

    def negotiate(self, caps: Caps) -> tuple[Caps, Scan]:
        """Keep what the scanner declared."""
        return Caps("image/shot", slide_id=caps.slide_id, scan=caps.scan), caps.scan

    def process(self, item: Field, state: Scan, pad: str = "sink") -> Shot:
        """Decode one field."""
        pixels = decoded(item, state)
        view = _small(pixels)
        ground = background_colour(view)
        return Shot(item.index, item.x, item.y, pixels, ground, float(foreground_mask(view, ground).mean()))


def decoded(field: Field, scan: Scan) -> NDArray[np.uint8]:
    """Pixels of a field, (H, W, 3) uint8 RGB.

    Raises:
        InputError: they are not of the size declared, or cannot be decoded.
    """
    place = f"field {field.index}"
    if field.encoding == "raw":
        if len(field.data) != scan.width * scan.height * 3:
            raise _refused(f"{len(field.data)} bytes are not {scan.width} x {scan.height} pixels of RGB", place)
        return np.frombuffer(field.data, np.uint8).reshape(scan.height, scan.width, 3)
    try:
        frame = frame_of(field.data)
        if (frame.width, frame.height, frame.precision) != (scan.width, scan.height, 8):
            what = f"declares {frame.width} x {frame.height} px of {frame.precision} bits"
            raise _refused(f"{what}, not {scan.width} x {scan.height} of 8", place)
        return PlainDecoder().decode([field.data])[0]
    except BrokenJpegError as error:
        raise _refused(f"cannot be decoded: it {error.said}", place) from error
    except (ValueError, IndexError) as error:
        raise _refused("cannot be decoded: it is no JPEG", place) from error


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    shrink = max(pixels.shape[:2]) / VIEW
    if shrink <= 1:
        return pixels
    size = (max(round(pixels.shape[1] / shrink), 1), max(round(pixels.shape[0] / shrink), 1))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _refused(message: str, place: str) -> InputError:
    remedy = "send 8-bit RGB of the size that was declared when the scan was opened"
    return InputError(message, place=place, remedy=remedy, code=InputCode.UNREADABLE)
