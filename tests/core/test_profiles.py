"""Profiles: a stage's properties, those of an extended profile under its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from hema_stream.core.errors import ConfigError
from hema_stream.core.profiles import load_properties


def test_a_profile_lays_its_properties_over_those_that_it_extends(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("extends: edge\nstages:\n  wbc: {max_batch: 4}\n  clean: {score: 0.6}\n")
    found = load_properties(str(own), ["clean.score=0.7"])
    assert found["wbc"] == {"max_batch": 4, "max_delay": 1.0}  # own, then edge's
    assert found["segment"] == {"model": "yolo11n-seg", "backend": "openvino"}  # cpu's, which edge extends
    assert found["clean"] == {"score": "0.7"}
    assert load_properties("edge", [])["wbc"]["max_batch"] == 8  # what was read before is as it was


def test_a_profile_that_extends_itself_is_refused(tmp_path: Path) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text(f"extends: {other}\nstages: {{}}\n")
    other.write_text("extends: one.yaml\nstages: {}\n")  # seen from its own folder
    with pytest.raises(ConfigError, match="extends itself") as refused:
        load_properties(str(one), [])
    assert refused.value.place.split(" > ") == [str(one), str(other), str(one)]


def test_a_profile_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("extends: tpu\nstages: {}\n")
    with pytest.raises(ConfigError, match="known: cpu, cpu-float32, edge, gpu"):
        load_properties(str(own), [])


def test_a_profile_extends_one_other(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("extends: [cpu, edge]\nstages: {}\n")
    with pytest.raises(ConfigError, match="extends="):
        load_properties(str(own), [])
