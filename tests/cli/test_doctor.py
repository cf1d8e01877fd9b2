"""What is missing is named with the command that mends it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hema_stream.cli import doctor
from hema_stream.core.errors import ModelError


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make modules look as where they are not installed."""
    find, load = importlib.util.find_spec, importlib.import_module

    def find_spec(name: str, *args: Any) -> Any:
        return None if name.split(".")[0] in names else find(name, *args)

    def import_module(name: str, *args: Any) -> Any:
        if name in names:
            raise ImportError(f"{name}: cannot open shared object file")
        return load(name, *args)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    monkeypatch.setattr(importlib, "import_module", import_module)
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


def run() -> tuple[Result, dict[str, str]]:
    done = CliRunner().invoke(doctor.command)
    return done, {" ".join(line.split()[1:3]): line for line in done.output.splitlines()}


def line_of(lines: dict[str, str], name: str) -> str:
    [line] = [line for line in lines.values() if line.split()[1] == name]
    return line


@pytest.mark.parametrize(
    ("module", "name", "remedy"),
    [
        ("torch", "torch", "pip install --force-reinstall hema-stream"),
        ("ultralytics", "ultralytics", "pip install --force-reinstall hema-stream"),
        ("cv2", "opencv", "apt-get install libgl1"),
        ("openslide", "openslide", "pip install --force-reinstall openslide-python openslide-bin"),
        ("psutil", "memory", "pip install --force-reinstall hema-stream"),
    ],
)
def test_what_is_needed_and_missing(monkeypatch: pytest.MonkeyPatch, module: str, name: str, remedy: str) -> None:
    without(monkeypatch, module)
    done, lines = run()
    assert done.exit_code == 4, done.output
    assert line_of(lines, name).startswith("missing")
    assert f"-> {remedy}" in line_of(lines, name)


@pytest.mark.parametrize(
    ("module", "name", "remedy"),
    [("nvidia", "dali", "pip install 'hema-stream[dali]'"), ("cupy", "cupy", "pip install 'hema-stream[gpu]'")],
)
def test_what_can_be_done_without(monkeypatch: pytest.MonkeyPatch, module: str, name: str, remedy: str) -> None:
    without(monkeypatch, module)
    done, lines = run()
    assert done.exit_code == 0, done.output
    assert line_of(lines, name).startswith("absent")
    assert f"-> {remedy}" in line_of(lines, name)


def test_weights_that_are_not_the_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(card: Any) -> None:
        raise ModelError("weights are not those of the card", remedy="reinstall hema-stream")

    monkeypatch.setattr("hema_models.cards.ModelCard.verify", changed)
    done, _ = run()
    assert done.exit_code == 4
    assert "missing weights rbc" in done.output
    assert "-> reinstall hema-stream" in done.output


def test_weights_that_are_not_shipped_name_their_training() -> None:
    done, _ = run()
    [line] = [line for line in done.output.splitlines() if "weights yolo11s-seg" in line]
    assert line.startswith("absent")
    assert "-> train them: hema-stream train segment --architecture yolo11s-seg" in line
