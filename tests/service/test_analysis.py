"""What an analysis makes of the runtime's messages, without running one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from smear import mixed

from hema_stream.clinical.compose import Composer
from hema_stream.clinical.panel import load_panel
from hema_stream.core.errors import HemaError, InputError, ModelError
from hema_stream.core.messages import ReportWritten
from hema_stream.core.report import Identity, ReportHead
from hema_stream.core.slide import InputImage
from hema_stream.flow.bus import Bus, Progress, SlideEnded
from hema_stream.flow.errors import DeadlineExceededError, StageError, WorkerDiedError
from hema_stream.service import build
from hema_stream.service.analysis import Finished, Standing, _read, _Run, cause_of, standing_of
from hema_stream.service.build import configuration_identity

IMAGE = InputImage("field", Path("in/field.png"))
BESIDE = ("erythroblast", "smudge")


class Watcher:
    def __init__(self) -> None:
        self.standings: list[tuple[str, Standing]] = []
        self.outcomes: list[Finished] = []

    def progressed(self, slide: str, standing: Standing) -> None:
        self.standings.append((slide, standing))

    def finished(self, outcome: Finished) -> None:
        self.outcomes.append(outcome)


def head() -> ReportHead:
    identity = Identity(software="", models={}, configuration="", panel="default", profile="cpu")
    return Composer(load_panel(), identity, True).head(mixed(20))


def running(*images: InputImage) -> tuple[_Run, Watcher]:
    watcher = Watcher()
    return _Run({image.id: image for image in images}, watcher, BESIDE), watcher


def test_the_differential_so_far_has_the_reports_denominator() -> None:
    counts = {"cells": 30, "rbc": 20, "wbc/unknown": 2, "wbc/erythroblast": 3, "wbc/smudge": 1, "wbc/monocyte": 4}
    tiles = {"planned": 9, "analysed": 4, "background": 1, "gap": 0}
    standing = standing_of({"counts": counts, "tiles": tiles}, BESIDE)
    assert standing == Standing(ended=5, planned=9, cells=30, white={"monocyte": 4})


async def test_a_report_is_known_when_its_slide_ends() -> None:
    """Progress is read after what else is on the bus; a report's head must not be."""
    run, watcher = running(IMAGE)
    bus = Bus()
    bus.post(Progress("field", "deltas", {"counts": {}, "tiles": {"planned": 1}}))
    bus.post(ReportWritten("field", head()))
    bus.post(SlideEnded("field", "done"))
    bus.close()
    await _read(bus, run)
    [outcome] = watcher.outcomes
    assert outcome.head is not None
    assert outcome.head.summary.total_cells == 20


@pytest.mark.parametrize("cause", [WorkerDiedError("exit code -11"), MemoryError()])
@pytest.mark.parametrize("stage", ["validate", "calibrate"])
def test_a_file_that_takes_its_worker_down_is_refused(stage: str, cause: Exception) -> None:
    found = cause_of(StageError(stage, "field", (), cause), IMAGE)
    assert isinstance(found, InputError)
    assert (found.code, found.place) == ("unreadable", str(IMAGE.path))
    assert found.remedy
    run, watcher = running(IMAGE)
    run.take(SlideEnded("field", "failed", StageError(stage, "field", (), cause)))
    assert [outcome.status for outcome in watcher.outcomes] == ["rejected"]


@pytest.mark.parametrize("stage", ["validate", "calibrate", "segment"])
def test_a_slow_stage_is_not_blamed_on_the_file(stage: str) -> None:
    run, watcher = running(IMAGE)
    run.take(SlideEnded("field", "failed", StageError(stage, "field", (), DeadlineExceededError("60 s"))))
    [outcome] = watcher.outcomes
    assert outcome.status == "failed"
    assert isinstance(outcome.error, HemaError)
    assert not isinstance(outcome.error, InputError)
    assert (outcome.error.code, outcome.error.place) == ("timeout", str(IMAGE.path))
    assert stage in outcome.error.message


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StageError("validate", "field", (), InputError("is blank", code="blank")), "rejected"),
        (StageError("classify_rbc", "field", (), MemoryError()), "failed"),
        (StageError("segment", "field", (), ModelError("missing")), "failed"),
        (RuntimeError("odd"), "failed"),
    ],
)
def test_other_failures_stay_what_they_are(error: Exception, status: str) -> None:
    run, watcher = running(IMAGE)
    run.take(SlideEnded("field", "failed", error))
    [outcome] = watcher.outcomes
    assert outcome.status == status
    assert outcome.error is (error.cause if isinstance(error, StageError) else error)


def test_images_that_were_never_opened_are_told() -> None:
    other = InputImage("other", Path("in/other.png"))
    run, watcher = running(IMAGE, other)
    run.take(SlideEnded("field", "done"))
    run.note_unopened()
    assert [(o.image.id, o.status) for o in watcher.outcomes] == [("field", "done"), ("other", "cancelled")]


class TestIdentity:
    def identity(self, profile: Any = "cpu", *settings: str) -> str:
        return configuration_identity("smear", str(profile), settings)

    def test_a_setting_that_changes_nothing_is_no_other_configuration(self) -> None:
        assert self.identity() == self.identity("cpu", "segment.model=yolo11n-seg")
        assert self.identity() != self.identity("cpu", "clean.score=0.6")

    def test_of_two_settings_the_later_counts(self) -> None:
        one, other = "clean.score=0.6", "clean.score=0.7"
        assert self.identity("cpu", one, other) == self.identity("cpu", other)
        assert self.identity("cpu", one, other) != self.identity("cpu", other, one)

    def test_a_profile_of_ones_own_counts_by_what_is_in_it(self, tmp_path: Path) -> None:
        paths = [tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "c.yaml"]
        for path, score in zip(paths, (0.6, 0.7, 0.6), strict=True):
            path.write_text(f"stages:\n  clean: {{score: {score}}}\n")
        a, b, c = map(self.identity, paths)
        assert a != b
        assert a == c

    def test_the_limits_of_the_service_are_no_part_of_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root = tmp_path / "configs"
        shutil.copytree(build.config_root(), root)
        monkeypatch.setattr(build, "config_root", lambda: root)
        before = self.identity()
        (root / "service.yaml").write_text("{}")
        assert self.identity() == before
        (root / "limits.yaml").write_text("{}")
        assert self.identity() != before
