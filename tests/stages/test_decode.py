"""A tile's pixels at two scales; what is damaged or out of focus costs that tile alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hema_stages.decode import Decode
from hema_stages.readers.jpeg import DaliDecoder, PlainDecoder, dali_installed
from hema_stages.validate import Validate

from hema_stream.core.calibration import Calibration, Foreground, StainFit
from hema_stream.core.errors import InputError
from hema_stream.core.slide import InputImage, Scale, ScaleSource
from hema_stream.core.tile import Tile, TilePlan
from hema_stream.flow import Buffer, Caps, CapsEvent, Eos, Gap, Pipeline, Sink, Source, StreamStart

GROUND = np.array((235, 225, 228), np.uint8)


def smear(side: int = 2400) -> np.ndarray:
    rng = np.random.default_rng(3)
    pixels = np.empty((side, side, 3), np.uint8)
    pixels[:] = GROUND
    for x, y in rng.integers(0, side, (side // 4, 2)):
        cv2.circle(pixels, (int(x), int(y)), 26, (200, 140, 150), -1, cv2.LINE_AA)
    return pixels


def write(path: Path, pixels: np.ndarray) -> Path:
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", compression="jpeg")
    return path


def opened(path: Path, mpp: float, threshold: float = 0.0) -> Caps:
    """The caps that plan sends: slide, calibration and plan."""
    slide = Validate("validate").process(InputImage("x", path, mpp), None)
    scale = Scale(mpp, ScaleSource.GIVEN)
    stain = StainFit()
    tissue = Foreground(np.ones((24, 24), bool), max(slide.width, slide.height) / 24)
    calibration = Calibration(scale, stain, GROUND, threshold, 100.0, tissue)
    return Caps("image/tile", slide=slide, calibration=calibration, plan=TilePlan(slide.width, slide.height, scale))


@pytest.fixture(scope="module")
def pixels():
    return smear()


@pytest.fixture
def caps(tmp_path, pixels):
    return opened(write(tmp_path / "a.tif", pixels), 0.125)


@pytest.fixture
def decode():
    def run(caps: Caps, index: int = 0, **properties):
        stage = Decode("decode", engine=properties.pop("engine", "plain"), **properties)
        stage.start()
        _, state = stage.negotiate(caps)
        try:
            return stage.process(caps.plan.spec(index), state)
        finally:
            stage.close(state)
            stage.stop()

    return run


def test_fine_pixels_are_the_slide_s_own_and_average_to_the_canonical(caps, decode, pixels):
    tile = decode(caps)
    assert isinstance(tile, Tile)
    assert tile.fine.shape == (2048, 2048, 3)
    assert tile.fine_scale == 2.0
    assert np.abs(tile.fine.astype(int) - pixels[:2048, :2048]).mean() < 2
    assert np.abs(tile.pixels - tile.fine.reshape(1024, 2, 1024, 2, 3).mean(axis=(1, 3))).max() <= 0.51


def test_a_tile_over_the_border_has_the_frozen_background(caps, decode, pixels):
    tile = decode(caps, len(caps.plan) - 1)
    spec = caps.plan.spec(len(caps.plan) - 1)
    inside = round(1200 - spec.box[0])
    assert (tile.pixels[:, inside + 1 :] == GROUND).all()
    x = round(spec.box[0] * 2)
    assert np.abs(tile.fine[: 2400 - x, : 2400 - x].astype(int) - pixels[x:, x:]).mean() < 2


@pytest.mark.parametrize(
    ("mpp", "fine_mpp", "side", "scale"),
    [(0.05, 0.1, 2560, 2.5), (0.125, 0.2, 1280, 1.25), (0.139, 0.1, 1842, 0.25 / 0.139)],
)
def test_fine_scale_is_bounded_by_the_slide_and_by_fine_mpp(tmp_path, pixels, decode, mpp, fine_mpp, side, scale):
    tile = decode(opened(write(tmp_path / "a.tif", pixels), mpp), fine_mpp=fine_mpp)
    assert tile.fine.shape == (side, side, 3)
    assert tile.fine_scale == pytest.approx(scale)
    assert tile.pixels.shape == (1024, 1024, 3)


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_a_coarse_slide_has_no_finer_pixels(tmp_path, pixels, decode, mpp):
    tile = decode(opened(write(tmp_path / "a.tif", pixels), mpp))
    assert tile.fine is tile.pixels
    assert tile.fine_scale == 1.0
    assert tile.pixels.shape == (1024, 1024, 3)
    if mpp == 0.25:
        assert np.abs(tile.pixels.astype(int) - pixels[:1024, :1024]).mean() < 2


@pytest.mark.skipif(not dali_installed(), reason="DALI is not installed (extra dali)")
def test_engines_agree_and_auto_takes_dali(caps, decode):
    plain, dali = (decode(caps, 1, engine=engine) for engine in ("plain", "dali"))
    assert np.abs(plain.fine.astype(int) - dali.fine).max() <= 2
    stages = {engine: Decode("decode", engine=engine) for engine in ("auto", "plain")}
    for stage in stages.values():
        stage.start()
    assert isinstance(stages["auto"]._decoder, DaliDecoder)
    assert isinstance(stages["plain"]._decoder, PlainDecoder)


class TestFocus:
    def test_blurred_tile_is_rejected_and_sharp_ones_pass(self, tmp_path, pixels, decode):
        blurred = cv2.GaussianBlur(pixels, (0, 0), 12)
        sharp = decode(opened(write(tmp_path / "a.tif", pixels), 0.125)).focus
        caps = opened(write(tmp_path / "b.tif", blurred), 0.125, threshold=0.08 * sharp)
        gap = decode(caps)
        assert isinstance(gap, Gap)
        assert (tuple(gap.units), gap.reason, gap.outcome) == ((0,), "low_quality", "rejected")
        assert isinstance(decode(caps, reject_focus=False), Tile)
        assert isinstance(decode(opened(write(tmp_path / "a.tif", pixels), 0.125, threshold=0.08 * sharp)), Tile)

    def test_the_slide_s_border_is_no_sharp_edge(self, tmp_path, decode):
        dark = np.full((2400, 2400, 3), 90, np.uint8)
        dark[:40, :40] = 200
        caps = opened(write(tmp_path / "a.tif", dark), 0.125)
        assert decode(caps, len(caps.plan) - 1).focus < 1

    def test_bare_ground_does_not_dilute_it(self, caps, decode):
        from dataclasses import replace

        quarter = np.zeros((24, 24), bool)
        quarter[::2, ::2] = True
        sparse = replace(caps.calibration, foreground=Foreground(quarter, 100.0))
        assert decode(caps.with_(calibration=sparse)).focus == pytest.approx(4 * decode(caps).focus, rel=0.2)


def damage(path: Path, index: int) -> None:
    """Wipe one stored tile."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        start, count = page.dataoffsets[index], page.databytecounts[index]
    data = bytearray(path.read_bytes())
    data[start : start + count] = bytes(count)
    path.write_bytes(data)


@pytest.mark.parametrize("engine", ["plain", "auto"])
def test_damaged_tile_is_a_typed_error(caps, decode, engine):
    damage(caps.slide.path, 0)
    with pytest.raises(InputError) as caught:
        decode(caps, 0, engine=engine)
    assert caught.value.code == "unreadable"
    assert isinstance(decode(caps, 3, engine=engine), Tile)


class Planned(Source):
    """Sends a slide's caps and every place of its plan."""

    produces = Caps("image/tile")

    def __init__(self, caps: Caps) -> None:
        super().__init__("planned")
        self.caps = caps

    async def stream(self):
        yield StreamStart("x")
        yield CapsEvent("x", self.caps)
        for spec in self.caps.plan:
            yield Buffer("x", spec)
        yield Eos("x")


class Ends(Sink):
    """Counts how tiles ended."""

    def __init__(self) -> None:
        super().__init__("ends")
        self.tiles: list[int] = []
        self.gaps: Counter[tuple[str, str]] = Counter()

    async def consume(self, item, state) -> None:
        self.tiles.append(item.spec.index)

    def gap(self, gap, state) -> None:
        self.gaps[gap.outcome, gap.reason] += len(gap.units)


async def test_in_a_worker_process_a_damaged_place_is_a_gap(caps):
    """The whole way: spawned worker with its memory bounded, one stored tile wiped, the rest analysed."""
    damage(caps.slide.path, 0)
    pipeline, ends = Pipeline(), Ends()
    for stage in (Planned(caps), Decode("decode"), ends):
        pipeline.add(stage)
    pipeline.link("planned", "decode")
    pipeline.link("decode", "ends")
    outcomes = await asyncio.wait_for(pipeline.run(), 60)
    assert outcomes["x"].status == "done"
    assert ends.tiles == [1, 2, 3]
    assert ends.gaps == {("gap", "unreadable"): 1}
