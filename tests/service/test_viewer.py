"""Deep zoom: tiles that cover the picture, read in a worker that may die."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hema_stages.validate import Validate
from hypothesis import given
from hypothesis import strategies as st

from hema_stream.core.region import Region
from hema_stream.core.slide import InputImage, Slide
from hema_stream.service.facts import facts_of, slide_of
from hema_stream.service.settings import load_limits
from hema_stream.service.viewer import DeepZoom, UnviewableError, Viewer


@pytest.fixture
def slide(fields: Path) -> Slide:
    return Validate("validate").process(InputImage("field", fields / "chula-106.png"), None)


@pytest.fixture
async def viewer() -> AsyncIterator[Viewer]:
    made = Viewer(load_limits().viewer)
    yield made
    await made.close()


@given(st.integers(1, 300_000), st.integers(1, 300_000), st.integers(0, 4))
def test_tiles_cover_each_level_and_no_more(width: int, height: int, above: int) -> None:
    pyramid = DeepZoom(width, height, 254, 1)
    level = max(pyramid.top - above - 4, 0)
    across, down = pyramid.size(level)
    columns, rows = -(-across // 254), -(-down // 254)
    last = pyramid.region(level, columns - 1, rows - 1)
    assert last is not None
    step = 2 ** (pyramid.top - level)
    assert last.box[2:] == (across * step, down * step)
    assert max(last.size) <= 256
    assert min(last.size) >= 1
    assert pyramid.region(level, columns, 0) is None
    assert pyramid.region(level, 0, rows) is None
    assert pyramid.region(pyramid.top + 1, 0, 0) is None
    assert pyramid.size(0) == (1, 1)


async def test_tiles_show_the_picture(viewer: Viewer, slide: Slide, fields: Path) -> None:
    import cv2

    whole = cv2.cvtColor(cv2.imread(str(fields / "chula-106.png")), cv2.COLOR_BGR2RGB)
    pyramid = viewer.pyramid(slide)
    region = pyramid.region(pyramid.top, 1, 1)
    assert region is not None
    picture = simplejpeg.decode_jpeg(await viewer.read(slide, region))
    assert np.abs(picture.astype(int) - whole[253:480, 253:509]).mean() < 6


async def test_tiles_are_cached_and_forgotten(viewer: Viewer, slide: Slide) -> None:
    region = Region((0.0, 0.0, 64.0, 64.0), (64, 64))
    first = await viewer.read(slide, region)
    assert await viewer.read(slide, region) is first
    await viewer.forget(slide.id)
    again = await viewer.read(slide, region)
    assert again == first
    assert again is not first


async def test_a_worker_that_dies_costs_its_slide_and_no_other(viewer: Viewer, slide: Slide) -> None:
    region = Region((0.0, 0.0, 64.0, 64.0), (64, 64))
    await viewer.read(slide, region)
    assert viewer._executor is not None
    for worker in viewer._executor._all:
        worker.process.kill()
    with pytest.raises(UnviewableError):
        await viewer.read(slide, Region((64.0, 0.0, 128.0, 64.0), (64, 64)))
    other = slide_of("other", slide.path, facts_of(slide))
    assert await viewer.read(other, region)


async def test_a_file_that_is_gone_cannot_be_shown(viewer: Viewer, slide: Slide, tmp_path: Path) -> None:
    gone = slide_of("gone", tmp_path / "gone.png", facts_of(slide))
    with pytest.raises(UnviewableError):
        await viewer.read(gone, Region((0.0, 0.0, 64.0, 64.0), (64, 64)))
    assert await viewer.read(slide, Region((0.0, 0.0, 64.0, 64.0), (64, 64)))
