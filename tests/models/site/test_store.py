"""Profiles and where they lie: immutable versions with an identity, names that cannot leave the folder."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hema_models.site.learn import learn
from hema_models.site.profile import OwnClass, Profile, from_bytes, to_bytes
from hema_models.site.store import SiteStore, find_profile, sites_folder
from hypothesis import given
from hypothesis import strategies as st
from site_world import CLASSES, allowed, laboratory

from hema_stream.core.errors import ConfigError, ModelError
from hema_stream.core.taxonomy import load_taxonomy


@pytest.fixture(scope="module")
def profile() -> Profile:
    place = laboratory(2.5, extra=1)
    reviewed = place.reviewed(10, 1, (0, 1, 2, 3, 6))
    return learn(
        Profile("here", 0), "wbc", "net", CLASSES, reviewed, [], allowed, [OwnClass("hairy_cell", "Hairy cell")]
    )


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SiteStore:
    monkeypatch.setenv("HEMA_STREAM_SITES", str(tmp_path / "sites"))
    return SiteStore()


def test_a_profile_comes_back_whole(profile: Profile) -> None:
    again = from_bytes(to_bytes(profile), "memory")
    assert again.identity == profile.identity
    before, after = profile.streams["wbc"], again.streams["wbc"]
    assert (after.own, after.judgement, after.classes) == (before.own, before.judgement, before.classes)
    assert before.head is not None
    assert after.head is not None
    features = laboratory(2.5).cells(np.arange(6), 1)
    answers = laboratory(2.5).answers(features)
    told = [p.head.correct(answers, p.statistics.standardise(features)) for p in (before, after)]  # type: ignore[union-attr]
    np.testing.assert_array_equal(told[0], told[1])


def test_the_identity_is_of_all_that_changes_an_answer(profile: Profile) -> None:
    part = profile.streams["wbc"]
    assert part.head is not None
    moved = replace(part.head, temperature=part.head.temperature * 1.01)
    others = [
        replace(profile, version=9),
        replace(profile, streams={"wbc": replace(part, head=moved)}),
        replace(profile, streams={"wbc": replace(part, network="other")}),
        replace(profile, streams={"wbc": replace(part, head=replace(part.head, gain=part.head.gain + 1))}),
    ]
    assert len({profile.identity, *(other.identity for other in others)}) == 5


def test_what_was_altered_is_refused(profile: Profile) -> None:
    content = bytearray(to_bytes(profile))
    for position in (0, len(content) // 2, len(content) - 30):
        broken = content.copy()
        broken[position] ^= 0xFF
        with pytest.raises(ModelError):
            from_bytes(bytes(broken), "memory")


def test_another_networks_profile_is_refused_with_what_mends_it(profile: Profile) -> None:
    assert profile.stream("wbc", "net") is profile.streams["wbc"]
    assert profile.stream("rbc", "any") is None
    with pytest.raises(ModelError, match="hema-stream site learn here --stream wbc"):
        profile.stream("wbc", "another")


def test_a_sites_own_classes_come_after_the_others(profile: Profile) -> None:
    known = load_taxonomy("wbc")
    made = profile.streams["wbc"].taxonomy(known)
    assert made.names == (*known.names, "hairy_cell")
    assert made.classes[-1].abnormal
    assert replace(profile.streams["wbc"], head=None).taxonomy(known) is known


def test_versions_are_written_once_and_switched_on_and_off(store: SiteStore, profile: Profile) -> None:
    store.create("here")
    store.save(profile)
    assert store.versions("here") == [0, 1]
    with pytest.raises(ConfigError, match="there already"):
        store.save(profile)
    with pytest.raises(ConfigError, match="site use here"):
        find_profile("here")
    store.use("here", 1)
    assert find_profile("here").identity == profile.identity
    store.use("here", None)
    assert store.in_use("here") is None
    assert [path.name for path in (sites_folder() / "here").iterdir() if path.name.startswith(".")] == []


def test_export_and_import_make_the_same(store: SiteStore, profile: Profile, tmp_path: Path) -> None:
    store.save(profile)
    out = tmp_path / "copy.site.npz"
    store.export("here", out)
    assert find_profile(str(out)).identity == profile.identity
    store.remove("here")
    assert store.names() == []
    assert store.take(out).identity == profile.identity
    other = store.take(out, "elsewhere")
    assert (other.name, store.names()) == ("elsewhere", ["elsewhere", "here"])
    with pytest.raises(ConfigError, match="there already"):
        store.take(out)


def test_what_is_no_profile_is_not_taken_in(store: SiteStore, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.site.npz"
    wrong.write_bytes(b"no profile")
    with pytest.raises(ModelError, match="no profile"):
        store.take(wrong)
    assert store.names() == []


@given(st.text(max_size=12))
def test_names_stay_within_the_folder(name: str) -> None:
    store = SiteStore(Path("/nonexistent/sites"))
    with contextlib.suppress(ConfigError):
        path = store._path(name, 1)
        assert path.resolve().is_relative_to("/nonexistent/sites")
        assert path.parent.parent == Path("/nonexistent/sites")


@pytest.mark.parametrize("name", ["..", "../up", "/abs", "a/b", "a\\b", "", "-x", "a..b", "x" * 65, ".hidden"])
def test_names_that_could_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="letters, digits"):
        SiteStore(Path("/nonexistent/sites")).versions(name)


def test_a_site_that_is_not_there_is_told_with_those_that_are(store: SiteStore) -> None:
    store.create("here")
    with pytest.raises(ConfigError, match="known: here"):
        store.load("nowhere")
    with pytest.raises(ConfigError, match="known: 0"):
        store.load("here", 7)
    with pytest.raises(ConfigError, match="of this name"):
        store.create("here")
