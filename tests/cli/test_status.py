"""The status page and its plain text show what the service says."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from hema_stream.cli.status.fetch import Standing
from hema_stream.cli.status.page import Page
from hema_stream.cli.status.plain import lines
from hema_stream.cli.status.words import lasting, room

GIB = 1 << 30


def slide(name: str, status: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"id-{name}",
        "name": name,
        "status": status,
        "code": None,
        "message": None,
        "counts": {"cells": 12_345, "rbc": 12_000, "wbc": 45, "platelet": 300, "wbc/neutrophil": 33, "wbc/unknown": 12},
        "progress": {"planned": 30, "analysed": 10, "background": 2},
        "started": "2026-03-01T10:00:00+00:00",
        "finished": None,
        **changes,
    }


def standing(**changes: Any) -> Standing:
    status = {
        "version": "0.1.0",
        "ready": True,
        "uptime": 90_061.0,
        "now": "2026-03-01T10:02:00+00:00",
        "jobs": {"done": 1_204, "running": 1, "queued": 3, "failed": 2},
        "running": [slide("smear-1.svs", "running")],
        "clients": 1,
        "disk": {"free": 120 * GIB, "total": 500 * GIB, "below": 5 * GIB, "enough": 8 * GIB, "low": False},
        "folders": [
            {"path": "/srv/scans", "state": "unreachable", "why": "gone", "claimed": 7, "done": 5, "failed": 1}
        ],
        **changes,
    }
    failed = slide("bad.png", "rejected", code="blank", message="nothing on it", finished="2026-03-01T10:00:04+00:00")
    done = slide("old.svs", "done", finished="2026-03-01T10:01:30+00:00")
    return Standing("http://box:8765", status, [failed, done])


def drawn(shown: Standing, stale: str = "", width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(Page(shown, stale))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_page_shows_what_runs_what_ended_and_how_much_room_there_is() -> None:
    text = drawn(standing())
    for word in (
        "0.1.0",
        "ready",
        "up 1 d 1 h",
        "1,204 done",
        "3 queued",
        "1 browser follows live",
        "smear-1.svs",
        "12/30",
        "12,345",
        "12,000",
        "2 min",
        "~3 min",
        "/srv/scans",
        "unreachable: gone",
        "120.0 GiB free of 500.0 GiB",
        "nothing on it",
        "1 min 30 s",
        "12,000 red  45 white  300 platelets",
        "white cells 33 classified: neutrophil 100%",
    ):
        assert word in text, word
    assert "not ready" not in text


def test_a_low_disk_and_a_silent_service_stand_out() -> None:
    disk = {"free": 1 * GIB, "total": 500 * GIB, "below": 5 * GIB, "enough": 8 * GIB, "low": True}
    text = drawn(standing(disk=disk, ready=False), "no answer for 12 s")
    assert "nothing new is begun until 8.0 GiB are free" in text
    assert "no answer for 12 s" in text
    assert "not ready" in drawn(standing(ready=False))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_it_fits_any_width_and_names_may_be_anything(width: int) -> None:
    name = "[red]not markup[/red] " * 9
    text = drawn(standing(running=[slide(name, "running", counts={}, progress={}, started=None)]), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "opening" in text
    assert "[red]" in text


def test_plain_text_says_the_same() -> None:
    assert list(lines(standing())) == [
        "hema-stream 0.1.0 at http://box:8765: ready, up 1 d 1 h",
        "slides: 1,204 done, 2 failed, 3 queued, 1 running; 1 followed live",
        "disk: 120.0 GiB of 500.0 GiB free",
        "folder /srv/scans: unreachable (gone); 7 claimed, 5 done, 1 failed",
        "running smear-1.svs (id-smear-1.svs): 12/30 tiles  12,000 red  45 white  300 platelets",
        "rejected bad.png (id-bad.png): nothing on it",
        "done old.svs (id-old.svs): 12,000 red  45 white  300 platelets",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.44, "0.4 s"), (60, "1 min"), (3_725, "1 h 2 min"), (86_400 * 3 + 3_600 * 4, "3 d 4 h")]
)
def test_times_have_their_two_largest_units(seconds: float, words: str) -> None:
    assert lasting(seconds) == words


def test_large_disks_are_told_in_tebibytes() -> None:
    assert room(2.5 * (1 << 40)) == "2.50 TiB"
