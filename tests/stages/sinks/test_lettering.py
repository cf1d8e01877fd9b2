"""Text, with OpenCV's outline fonts and without them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hema_stages.sinks import lettering


@pytest.fixture(params=["outline", "stroke"])
def fonts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "stroke":
        monkeypatch.delattr(cv2, "FontFace", raising=False)
    return str(request.param)


@pytest.mark.usefixtures("fonts")
def test_a_line_is_as_wide_as_told_and_as_high_as_asked() -> None:
    canvas = np.full((80, 400, 3), 255, np.uint8)
    lettering.write(canvas, "20 µm Segmented", (10, 50), 24)
    y, x, _ = np.nonzero(canvas < 128)
    across = lettering.width("20 µm Segmented", 24)
    assert abs((x.max() - 10) - across) < 12
    assert 12 <= 50 - y.min() <= 28
    assert lettering.width("Segmented", 40) > 1.4 * lettering.width("Segmented", 24)


@pytest.mark.usefixtures("fonts")
def test_long_names_keep_their_ends() -> None:
    name = "bccd__BloodImage_with_a_long_name_00042"
    short = lettering.fitted(name, 20, 200)
    assert lettering.width(short, 20) <= 200
    assert short.startswith("bc")
    assert short.endswith("42")
    assert lettering.fitted("short", 20, 200) == "short"
    assert lettering.fitted("short", 20, 1) == ""
