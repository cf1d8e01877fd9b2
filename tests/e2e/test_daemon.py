"""The daemon on a real pipeline: told to stop in mid-slide it is gone in time, and the next start goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from daemon_process import Daemon, claimed, reports, wait

WITHIN = 20.0


def put(image: Path, inbox: Path) -> None:
    """Let an image appear whole: the stand-in claims at first sight."""
    shutil.copy(image, inbox.with_name(image.name)).rename(inbox / image.name)


@pytest.mark.timeout(300)
def test_told_to_stop_in_mid_slide_it_ends_in_time_and_redoes_nothing(
    fields: Path, slide: Path, tmp_path: Path
) -> None:
    inbox, config = tmp_path / "inbox", tmp_path / "daemon.yaml"
    inbox.mkdir()
    values = {
        "data": str(tmp_path / "data"),
        "listen": {"port": 0},
        "profile": "cpu",
        "folders": [{"path": str(inbox)}],
        "stop": {"finish": 0, "within": WITHIN},
        "limits": {"disk": {"low": 1, "enough": 2}, "retention": {"images": "30 d"}},
    }
    config.write_text(yaml.safe_dump(values))
    first = Daemon(config)
    try:
        put(fields / "pbc-monocyte.png", inbox)
        (inbox / "broken.png").write_bytes(b"no picture at all" * 99)
        wait(lambda: (inbox / "done" / "pbc-monocyte.png").exists(), 120)
        put(slide, inbox)
        wait(lambda: first.begun("slide.png"), 60)
        finished = reports(inbox)
        code, seconds = first.stop()
    finally:
        first.close()
    assert (code, len(finished)) == (0, 1)
    assert seconds < WITHIN
    assert claimed(inbox, "slide.png")
    assert (inbox / "failed" / "broken.png.reason").read_text().startswith("unreadable: ")
    second = Daemon(config)
    try:
        wait(lambda: (inbox / "done" / "slide.png").exists(), 120)
        assert second.stop()[0] == 0
    finally:
        second.close()
    after = reports(inbox)
    assert len(after) == 2
    assert {path: after[path] for path in finished} == finished
