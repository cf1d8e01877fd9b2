"""scan-sim: the course that its faults draw, how a picture is cut, and what it says of a service that is not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from hema_stream.cli.scan.faults import Faults, plan_course
from hema_stream.cli.scan.picture import Cut, Picture

SHARE = st.floats(0, 1)
FAULTS = st.builds(Faults, SHARE, SHARE, SHARE, st.integers(0, 20))


def test_faults_are_read() -> None:
    assert Faults.parse("lost=0.05,repeated=0.1,reordered=0.2,cut=10") == Faults(0.05, 0.1, 0.2, 10)
    assert Faults.parse("") == Faults()


@pytest.mark.parametrize("text", ["lost=2", "lost=-1", "cut=1.5", "cut=x", "late=1", "lost"])
def test_what_is_no_fault_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=text.partition("=")[0]):
        Faults.parse(text)


@settings(deadline=None)
@given(st.integers(1, 60), FAULTS, st.integers(0, 99), st.integers(1, 8))
def test_a_course_has_every_field_that_is_not_lost_and_none_comes_too_late(
    fields: int, faults: Faults, seed: int, reach: int
) -> None:
    course = plan_course(fields, faults, seed, reach)
    assert course == plan_course(fields, faults, seed, reach)
    assert set(course.sends) | course.lost == set(range(fields))
    assert not set(course.sends) & course.lost
    assert len(course.lost) == min(round(faults.lost * fields), fields - 1)
    assert all(0 < cut < max(len(course.sends), 2) for cut in course.cuts)
    firsts = list(dict.fromkeys(course.sends))
    for place, index in enumerate(firsts):
        assert sum(other > index for other in firsts[:place]) <= reach


def test_the_fields_that_are_lost_depend_on_their_share_and_the_seed_alone() -> None:
    clean, faulty = Faults(lost=0.2), Faults(lost=0.2, repeated=0.3, reordered=0.5, cut=4)
    assert plan_course(40, clean, 7, 4).lost == plan_course(40, faulty, 7, 4).lost


@settings(deadline=None)
@given(
    st.tuples(st.integers(64, 3000), st.integers(64, 3000)),
    st.tuples(st.integers(64, 900), st.integers(64, 900)),
    st.floats(0, 0.5),
)
def test_fields_cover_the_picture_and_overlap_as_asked(
    size: tuple[int, int], field: tuple[int, int], overlap: float
) -> None:
    cut = Cut.of(size, field, overlap, 0.25)
    x, y = cut.corner(len(cut) - 1)
    for length, side, last, step, count in (
        (size[0], cut.width, x, cut.step_x, cut.columns),
        (size[1], cut.height, y, cut.step_y, cut.rows),
    ):
        assert last + side <= length
        assert length - last - side < count
        assert count == 1 or step <= side * (1 - overlap) + 1


def test_a_field_is_the_part_of_the_picture_that_it_says(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (300, 400, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels[..., ::-1])
    for quality in (0, 95):
        picture = Picture(tmp_path / "a.png", 0.5, 0.0, quality, 0)
        cut = Cut.of(picture.size, (160, 120), 0.2, picture.mpp)
        made = picture.field(cut, 4)
        x, y = cut.corner(4)
        assert (made["x"], made["y"]) == (x * 0.5, y * 0.5)
        if quality:
            assert simplejpeg.decode_jpeg(made["data"]).shape == (120, 160, 3)
        else:
            assert made["data"] == pixels[y : y + 120, x : x + 160].tobytes()
        picture.close()


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hema_stream.cli", "scan-sim", *options], capture_output=True, text=True
    )


def test_a_service_that_is_not_there_is_exit_code_4(fields: Path) -> None:
    done = run(str(fields / "chula-106.png"), "--url", "http://127.0.0.1:9", "--token", "none")
    assert done.returncode == 4
    assert "--url" in done.stderr


def test_faults_that_are_none_are_exit_code_2(fields: Path) -> None:
    done = run(str(fields / "chula-106.png"), "--token", "none", "--faults", "late=1")
    assert done.returncode == 2
    assert "late" in done.stderr


def test_a_picture_without_a_scale_is_exit_code_2(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((200, 200, 3), 200, np.uint8))
    done = run(str(tmp_path / "a.png"), "--token", "none")
    assert done.returncode == 2
    assert "--mpp" in done.stderr
