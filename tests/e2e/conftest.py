"""A slide of several tiles, made of a shipped field."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from slides import run


@pytest.fixture(scope="session")
def slide(fields: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen fields side by side: six tiles."""
    field = cv2.imread(str(fields / "chula-106.png"))
    path = tmp_path_factory.mktemp("slide") / "slide.png"
    cv2.imwrite(str(path), np.tile(field, (4, 4, 1)))
    return path


@pytest.fixture(scope="session")
def whole(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The report of an undisturbed run."""
    report = run(slide, tmp_path_factory.mktemp("whole"))
    assert report["quality_metrics"]["tiles"]["analysed"] == 6
    return report
