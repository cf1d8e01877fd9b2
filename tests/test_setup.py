"""Setting up: every dependency is locked, and browser tests are not skipped unseen."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(path for path in (ROOT / "bin").iterdir() if path.is_file())


def locked() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {requirement.name.lower(): requirement for requirement in found}


def wanted() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    found = [Requirement(text) for texts in lists for text in texts]
    return [requirement for requirement in found if requirement.name != "hema-stream"]


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_every_dependency_is_locked_to_one_version_that_fits(requirement: Requirement) -> None:
    [pin] = locked()[requirement.name.lower()].specifier
    assert pin.operator == "=="
    assert requirement.specifier.contains(pin.version)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_whole(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    assert "pip install" not in script.read_text().replace("-m pip install", "") or script.name == "lock"


def without_a_browser(tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/e2e/test_page_slides.py"]
    home = {"PATH": "/nowhere", "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(command, cwd=ROOT, env={**home, **more}, capture_output=True, text=True)


def test_browser_tests_that_are_skipped_are_named_and_fail_where_they_are_needed(tmp_path: Path) -> None:
    skipped = without_a_browser(tmp_path)
    assert skipped.returncode == 0, skipped.stdout
    assert "SKIPPED" in (last := skipped.stdout.rsplit("short test summary info", 1)[1])
    assert "tests/e2e/test_page_slides.py" in last
    assert "apt-get install chromium" in last
    needed = without_a_browser(tmp_path, HEMA_STREAM_BROWSER="needed")
    assert needed.returncode != 0
    assert "may not be skipped" in needed.stdout + needed.stderr


def test_other_libraries_say_nothing_on_the_terminal() -> None:
    said = "import hema_stages.readers, logging; logging.getLogger('tifffile').warning('odd tag')"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_first_run_of_a_user_shows_our_own_lines_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hema_stream.cli", "analyze", ROOT / "examples/fields/chula-106.png"]
    home = {**os.environ, "HOME": str(tmp_path), "YOLO_CONFIG_DIR": str(tmp_path)}
    done = subprocess.run([*command, "-o", tmp_path / "out"], env=home, capture_output=True, text=True)
    assert done.returncode == 0
    assert "Ultralytics" not in done.stdout + done.stderr
    assert "Warning" not in done.stdout + done.stderr
