"""View: pictures of parts of a slide, for whoever looks at it."""

from __future__ import annotations

import numpy as np

from hema_stages.readers import Reader, open_reader
from hema_stages.readers.memory import bound_address_space
from hema_stream.core.region import Region
from hema_stream.flow import Caps, Policy, Transform, process, prop

GROUND = np.full(3, 255, np.uint8)


class View(Transform[Region, bytes]):
    """Read regions of a slide as JPEG, in a worker process that a hostile file may crash.

    The image itself alone is read: labels and macro pictures of a slide are no part of it.
    """

    accepts = Caps("image/region")
    produces = Caps("image/jpeg")
    runs_on = process(workers=1)
    on_error = Policy.GAP
    deadline = 30.0

    quality: int = prop(85, doc="JPEG quality", ge=1, le=100)
    address_space: int = prop(4 << 30, doc="what the worker may map beyond its libraries; 0: any", unit="bytes", ge=0)

    def start(self) -> None:
        """Load the decoders, keep them to one thread, and bound the worker's memory."""
        import cv2
        import imagecodecs  # noqa: F401  its libraries must not count
        import openslide  # noqa: F401
        import simplejpeg  # noqa: F401
        import tifffile  # noqa: F401

        cv2.setNumThreads(1)
        bound_address_space(self.address_space)

    def negotiate(self, caps: Caps) -> tuple[Caps, Reader]:
        """Open the slide; InputError where it cannot be read any more."""
        return caps, open_reader(caps.slide, "plain")

    def process(self, item: Region, state: Reader, pad: str = "sink") -> bytes:
        """Read one region."""
        import simplejpeg

        pixels = np.ascontiguousarray(state.read(item.box, item.size, GROUND))
        encoded: bytes = simplejpeg.encode_jpeg(pixels, quality=self.quality, colorspace="RGB")
        return encoded

    def close(self, state: Reader) -> None:
        """Close the file."""
        state.close()
