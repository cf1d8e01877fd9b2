"""The figures of a site's slides on the disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hema_models.site.readings import FILE, FIRST, LATEST, Readings
from hema_models.site.store import SiteStore

from hema_stream.core.reading import Reading
from hema_stream.core.site_use import SiteUse

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def reading(n: int) -> Reading:
    return Reading(f"slide-{n}", BEGUN + timedelta(hours=n), {"classify_wbc": "net"}, {"focus": float(n)})


def test_the_first_and_the_latest_are_read_back_in_order(tmp_path: Path) -> None:
    readings = Readings(tmp_path)
    assert readings.read().latest == ()
    for n in range(FIRST + LATEST + 5):
        readings.add(reading(n))
    history = readings.read()
    assert history.first == tuple(reading(n) for n in range(FIRST))
    assert history.latest == tuple(reading(n) for n in range(FIRST + 5, FIRST + LATEST + 5))


def test_a_line_cut_short_costs_no_other(tmp_path: Path) -> None:
    readings = Readings(tmp_path)
    readings.add(reading(1))
    with (tmp_path / FILE).open("ab") as handle:
        handle.write(b'{"slide": "torn\n[]\n\xff\n')
    readings.add(reading(2))
    assert readings.read().first == (reading(1), reading(2))


def test_a_slide_that_is_analysed_again_is_not_compared_with_itself(tmp_path: Path) -> None:
    readings = Readings(tmp_path)
    for n in range(3):
        readings.add(reading(n))
    history = readings.read().without("slide-1")
    assert history.first == history.latest == (reading(0), reading(2))


def test_begun_anew_the_slides_so_far_are_kept_aside(tmp_path: Path) -> None:
    readings = Readings(tmp_path)
    assert readings.restart() is None
    readings.add(reading(1))
    aside = readings.restart()
    assert aside is not None
    assert aside.read_text(encoding="utf-8").count("\n") == 1
    assert readings.read().first == ()


def test_only_a_site_of_this_machine_has_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEMA_STREAM_SITES", str(tmp_path))
    store = SiteStore()
    made = store.create("tehran")
    assert Readings.of(SiteUse("tehran", 0, made.identity, {})) is not None
    assert Readings.of(SiteUse("tehran", 0, "ab" * 32, {})) is None
    assert Readings.of(SiteUse("elsewhere", 0, made.identity, {})) is None
