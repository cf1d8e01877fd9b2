"""Route: a slide is told once, for both classifiers, which version of which site names its cells."""

from __future__ import annotations

from pathlib import Path

import pytest
from hema_models.site.choice import Choice, choose_site
from hema_models.site.profile import Profile
from hema_models.site.store import SiteStore
from hema_stages.route import Route
from smear import calibration

from hema_stream.core.errors import ConfigError
from hema_stream.flow import Caps

CAPS = Caps("cells/segmented", calibration=calibration())


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEMA_STREAM_SITES", str(tmp_path / "sites"))
    store = SiteStore()
    store.create("here")
    store.save(Profile("here", 1))
    return tmp_path / "site"


def told(stage: Route) -> Choice | None:
    return stage.negotiate_pad("sink", CAPS, None)[0].get("site_choice")


def test_slides_follow_what_is_switched_on_when_they_begin(file: Path) -> None:
    stage = Route("route", choice=file)
    assert told(stage) is None
    choose_site(file, "here")
    assert told(stage) is None
    SiteStore().use("here", 1)
    assert told(stage) == Choice("here", 1)
    SiteStore().use("here", 0)
    assert told(stage) == Choice("here", 0)
    choose_site(file, None)
    assert told(stage) is None
    assert told(Route("route")) is None


def test_a_slide_under_way_keeps_its_version(file: Path) -> None:
    stage = Route("route", choice=file)
    choose_site(file, "here")
    SiteStore().use("here", 1)
    _, state = stage.negotiate_pad("sink", CAPS, None)
    SiteStore().use("here", 0)
    caps, later = stage.negotiate_pad("sink", CAPS, state)
    assert caps.site_choice == later.choice == Choice("here", 1)
    SiteStore().use("here", None)
    off, state = stage.negotiate_pad("sink", CAPS, None)
    SiteStore().use("here", 1)
    assert "site_choice" not in stage.negotiate_pad("sink", CAPS, state)[0]
    assert "site_choice" not in off


def test_a_site_that_is_gone_is_said(file: Path) -> None:
    choose_site(file, "gone")
    with pytest.raises(ConfigError, match="no such site"):
        told(Route("route", choice=file))
