"""``hema-stream daemon`` checks its configuration before it does anything."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hema_stream.core.configs import config_root


def check(path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hema_stream.cli", "daemon", "--config", str(path), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_good_configuration_is_good(tmp_path: Path) -> None:
    path = tmp_path / "daemon.yaml"
    path.write_text(f"data: {tmp_path / 'data'}\n")
    done = check(path, "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: good\n", "")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("more", [("--check",), ()])
def test_each_fault_is_a_line_with_file_line_and_key(tmp_path: Path, more: tuple[str, ...]) -> None:
    path = tmp_path / "daemon.yaml"
    path.write_text("# box\ndata: here\nfolders:\n  - path: /nowhere\n    ahead: none\nlisten: {port: 1}\nport: 3\n")
    done = check(path, *more)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{path}:2", "data"],
        [f"{path}:5", "folders.0.ahead"],
        [f"{path}:7", "port"],
    ]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    done = check(tmp_path / "none.yaml", "--check")
    assert done.returncode == 2
    assert "none.yaml: cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    """Its program is put where this machine has one: systemd looks whether it can be run."""
    text = (config_root() / "systemd" / "hema-stream.service").read_text()
    program = "/opt/hema-stream/bin/hema-stream"
    assert text.count(program) == 2
    unit = tmp_path / "hema-stream.service"
    unit.write_text(text.replace(program, sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_waits_longer_than_the_daemon_takes() -> None:
    from hema_stream.service.daemon.config import read_config

    text = (config_root() / "systemd" / "hema-stream.service").read_text()
    (timeout,) = [int(line.split("=")[1]) for line in text.splitlines() if line.startswith("TimeoutStopSec=")]
    for name in ("x86", "gpu"):
        assert read_config(config_root() / "daemon" / f"{name}.yaml")[0].stop.within < timeout
