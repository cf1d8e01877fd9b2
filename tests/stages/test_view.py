"""View: a region of a slide as JPEG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import simplejpeg
from hema_stages.readers import open_reader
from hema_stages.validate import Validate
from hema_stages.view import GROUND, View

from hema_stream.core.region import Region
from hema_stream.core.slide import InputImage
from hema_stream.flow import Caps


def test_a_region_is_what_the_reader_reads(fields: Path) -> None:
    slide = Validate("validate").process(InputImage("field", fields / "chula-106.png"), None)
    stage = View("view", quality=95)
    _, state = stage.negotiate(Caps("image/region", slide=slide))
    region = Region((100.0, 50.0, 356.0, 242.0), (128, 96))
    shown = simplejpeg.decode_jpeg(stage.process(region, state))
    stage.close(state)
    wanted = open_reader(slide, "plain").read(region.box, region.size, GROUND)
    assert shown.shape == (96, 128, 3)
    assert np.abs(shown.astype(int) - wanted).mean() < 4
