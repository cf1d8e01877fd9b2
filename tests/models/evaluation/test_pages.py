"""The suite's page and plots from a document made of answers with known figures."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hema_models.evaluation.answers import answers_of
from hema_models.evaluation.elsewhere import elsewhere, errors_by_laboratory
from hema_models.evaluation.naming import named, share
from hema_models.evaluation.pages import markdown
from hema_models.evaluation.plots import write_plots
from hema_models.evaluation.scores import by_source

from hema_stream.core.errors import ConfigError

MADE = {
    "software": "hema-stream 0",
    "profile": "cpu",
    "split": "train",
    "settings": ["clean.score=0.6"],
    "configuration": "c" * 64,
    "site": None,
    "without_result": {"wbc": {}, "rbc": {"nih_malaria": 21}},
    "models": {"segment": {"weights": "a" * 64, "card": "b" * 64}},
}


@pytest.fixture
def document() -> dict[str, Any]:
    cell = {"name": "1.jpg", "source": "pbc", "confidence": "0.8", "unknown": "0"}
    red = answers_of("rbc", [
        {**cell, "class": "normal", "predicted": "normal"},
        {**cell, "class": "malaria_infected", "predicted": "malaria_infected"},
        {**cell, "class": "sickle", "predicted": "normal"},
    ])  # fmt: skip
    names = named(np.array([0, 0, 3]), np.array([False, True, False]))
    told = {"slides": 3, "flagged": 1, "flags": {"parasite_suspected": 1}, "candidates": {}}
    at = {
        "0.0000": {"slides": 4, "flagged": 0, "at_least_candidate": 1},
        "0.0050": {"slides": 4, "flagged": 2, "at_least_candidate": 3},
    }
    return {
        "made_of": MADE,
        "product": {
            "red": by_source(red, 20) | {"round": {"pbc": names}},
            "fields": {"pbc": {"fields": 2, "round": names, "red_unknown": share(1, 4), "claims": told}},
            "detection": {"rbc": {"pbc": {"images": 2, "labels": 9, "ap50": 0.9, "interval": [0.8, 1.0],
                                          "precision": 1.0, "recall": 0.5}}},
            "slides": {
                "healthy": {"all": {**told, "flagged": share(1, 3)}, "laboratories": {"pbc": told}},
                "power": {"infected": {"asked": 0.005, "flags": ["parasite_suspected"], "at": at},
                          "sickle": {"asked": 0.01, "flags": [], "at": at}},
            },
        },
        "left_out": {
            "rbc": by_source(red, 20),
            "rbc_elsewhere": elsewhere(red),
            "rbc_errors": errors_by_laboratory(red),
            "round": {"pbc": names},
            "red_unknown": {"bccd": share(3, 12)},
        },
    }  # fmt: skip


def test_the_page_tells_every_figure(document: dict[str, Any], tmp_path: Path) -> None:
    text = markdown(document, write_plots(document, tmp_path))
    for told in (
        "settings: clean.score=0.6",
        "segment aaaaaaaaaaaaaaaa",
        "Pictures without a result, in no figure below: rbc nih_malaria 21.",
        "| pbc | 3 | 0.667",  # two of three labels right
        "| pbc | 3 | 33.3%",  # one of three named normal
        "| sickle | 0 of 2 (0.00%) | 0 of 1 (0.00%) | 1 |",
        "| normal | pbc: 1 of 2 (50.00%) |  |  |",
        "| rbc | pbc | 2 | 9 | 0.900 (0.800 to 1.000) | 1.000 | 0.500 |",
        "| all | 3 | 33.3% (6.2% to 79.2%) | parasite_suspected 1 |",
        "| bccd | 12 | 25.0%",
        "| infected | 0.00% | 0 of 4 | 1 of 4 |",
        "| infected (asked) | 0.50% | 2 of 4 | 3 of 4 |",
        "| sickle | 0.50% | no flag | no flag |",
    ):
        assert told in text, text


def test_plots_are_pictures_that_the_page_shows(document: dict[str, Any], tmp_path: Path) -> None:
    plots = write_plots(document, tmp_path)
    text = markdown(document, plots)
    assert len(plots) == len(set(plots)) == len(list(tmp_path.iterdir())) == 12
    for name in plots:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert f"]({name})" in text


def test_without_matplotlib_the_remedy_is_told(
    document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"hema-stream\[evaluate\]"):
        write_plots(document, tmp_path)
