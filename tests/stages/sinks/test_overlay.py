"""The overlay: how large it is, what is on it, what it takes to draw it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hema_stages.readers import open_reader
from hema_stages.sinks import overlay
from hema_stages.sinks.overlay import STRIP, UNREADABLE, Layout, draw_overlay
from hema_stages.sinks.png import encode_png
from smear import calibration, mixed, result_of, slide

from hema_stream.core.cells import Kind
from hema_stream.core.errors import InputError
from hema_stream.core.slide import ScaleSource
from hema_stream.core.tile import Box

FIELDS = Path(__file__).parents[3] / "examples" / "fields"


class Painted:
    """Stands for a reader: one colour, and a part that cannot be read."""

    def __init__(self, colour: int = 180, damaged: Box | None = None) -> None:
        self.colour, self.damaged, self.largest = colour, damaged, 0

    def read(self, box: Box, size: tuple[int, int], background: np.ndarray) -> np.ndarray:
        self.largest = max(self.largest, size[0] * size[1])
        if self.damaged and _meet(box, self.damaged):
            raise InputError("damaged", code="truncated")
        return np.full((size[1], size[0], 3), self.colour, np.uint8)


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@pytest.mark.parametrize(
    ("size", "longest"),
    [((384, 288), 4096), ((288, 384), 4096), ((3000, 2000), 4096), ((90_000, 60_000), 4096), ((8000, 90), 2000)],
)
def test_the_longest_side(size: tuple[int, int], longest: int) -> None:
    result = mixed(40, image=slide(*size))
    picture, unread = draw_overlay(result, Painted(), longest)
    assert max(picture.shape[:2]) <= longest
    assert unread == 0
    layout = Layout.of(*size, longest)
    assert layout.width + layout.panel == picture.shape[1]
    assert layout.width / layout.height == pytest.approx(size[0] / size[1], rel=0.05)
    if max(size) < 1600:
        assert max(layout.width, layout.height) >= 1600


def test_a_slide_is_read_in_strips() -> None:
    reader = Painted()
    draw_overlay(mixed(10, image=slide(60_000, 60_000)), reader)
    assert reader.largest <= STRIP * 4096


def test_outlines_lie_on_the_cells_and_the_legend_beside() -> None:
    result = result_of([(Kind.RBC, "malaria_infected")], image=slide(400, 400), radii_um=np.array([5.0]))
    picture, _ = draw_overlay(result, Painted(180), 2000)
    layout = Layout.of(400, 400, 2000)
    slide_part = picture[: layout.height, : layout.width].astype(int)
    y, x = np.nonzero(slide_part[..., 0] - slide_part[..., 1] > 60)
    centre = result.cells.centroid[0] * layout.zoom
    away = np.hypot(x - centre[0], y - centre[1])
    assert np.abs(away - 20 * layout.zoom).max() < 12
    assert (picture[:, layout.width :] < 100).any()


def test_the_scale_bar_is_as_long_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    real = overlay.write

    def spy(canvas: np.ndarray, text: str, *args: object, **kwargs: object) -> None:
        written.append(text)
        real(canvas, text, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(overlay, "write", spy)
    picture, _ = draw_overlay(result_of([], image=slide(1600, 1200)), Painted(90), 4096)
    layout = Layout.of(1600, 1200, 4096)
    assert "50 µm" in written
    corner = picture[layout.height - 8 - layout.letter // 2 : layout.height - layout.letter // 2 + 1, :800]
    dark = np.nonzero((corner < 60).all(axis=2).any(axis=0))[0]
    assert np.ptp(dark) == pytest.approx(50 / (0.25 / layout.zoom), abs=6)
    for source in (ScaleSource.ESTIMATED, ScaleSource.ASSUMED):
        written.clear()
        draw_overlay(result_of([], image=slide(1600, 1200), measured=calibration(0.25, source)), Painted(), 4096)
        assert f"50 µm (scale {source})" in written


def test_a_damaged_part_is_grey_and_counted() -> None:
    result = result_of([], image=slide(4000, 3000))
    picture, unread = draw_overlay(result, Painted(90, (1000.0, 1000.0, 1200.0, 1200.0)), 4096)
    grey = (picture == UNREADABLE).all(axis=2)
    layout = Layout.of(4000, 3000, 4096)
    share = grey[: layout.height, : layout.width].mean()
    assert unread > 0
    assert 200 * 200 / (4000 * 3000) <= share < 6 * 200 * 200 / (4000 * 3000)


def test_a_partial_slide_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(overlay, "write", lambda canvas, text, *args, **kwargs: written.append(text))
    tiles = {"analysed": 5, "background": 7, "rejected": 1, "gap": 0, "cancelled": 2}
    draw_overlay(result_of([], status="partial", tiles=tiles), Painted())
    assert "Analysis interrupted" in written
    assert "Not analysed: 2 of 8 tiles" in written
    assert "Out of focus: 1 of 8 tiles" in written
    assert not any(text.startswith("Lost") for text in written)
    assert any("review by" in text for text in written)


def test_a_real_field_keeps_its_colours_where_nothing_is_drawn() -> None:
    path = FIELDS / "bccd-00000.png"
    image = replace(slide(384, 288, path), mpp=0.134)
    reader = open_reader(image, "plain")
    try:
        picture, _ = draw_overlay(result_of([], image=image), reader)
        layout = Layout.of(384, 288, 4096)
        whole = reader.read((0.0, 0.0, 384.0, 288.0), (layout.width, layout.height), np.full(3, 255, np.uint8))
    finally:
        reader.close()
    drawn = picture[: layout.height - 100, : layout.width].astype(int)
    assert np.abs(drawn - whole[: layout.height - 100]).mean() < 1.5
    assert len(encode_png(picture)) < picture.nbytes
