"""A panel is checked when it is read."""

from __future__ import annotations

from typing import Any

import pytest

from hema_stream.clinical import panel
from hema_stream.core.configs import load_config
from hema_stream.core.errors import ConfigError


def with_document(monkeypatch: pytest.MonkeyPatch, document: Any) -> None:
    monkeypatch.setattr(panel, "load_config", lambda name: document)


def test_the_default_panel_has_the_thresholds_of_the_reference() -> None:
    rules = panel.load_panel()
    assert rules.review.confidence == 0.7
    assert (rules.morphology.microcyte_um, rules.morphology.macrocyte_um) == (6.0, 8.5)
    assert (rules.differential.wanted, rules.morphology.wanted) == (100, 1000)
    assert set(rules.flags) == set(panel.FLAGS)


def test_a_key_that_is_not_known_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with_document(monkeypatch, load_config("panels/default.yaml") | {"colour": "red"})
    with pytest.raises(ConfigError, match="colour") as caught:
        panel.load_panel("mine")
    assert caught.value.place == "panels/mine.yaml"


def test_a_flag_without_its_rule_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    document = load_config("panels/default.yaml")
    rules = {code: rule for code, rule in document["flags"].items() if code != "blast_detected"}
    with_document(monkeypatch, document | {"flags": rules})
    with pytest.raises(ConfigError, match="blast_detected"):
        panel.load_panel("mine")


def test_a_panel_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="known: default"):
        panel.load_panel("nowhere")
