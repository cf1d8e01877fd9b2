"""A daemon's configuration over folders of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hema_stream.service.daemon.config import DaemonConfig, read_config

Configured = Callable[..., DaemonConfig]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    made = tmp_path / "inbox"
    made.mkdir()
    return made


@pytest.fixture
def written(tmp_path: Path, inbox: Path) -> Callable[..., Path]:
    """Write a configuration; what is given replaces what would be there."""

    def write(**changes: Any) -> Path:
        path = tmp_path / "daemon.yaml"
        values = {
            "data": str(tmp_path / "data"),
            "listen": {"port": 0},
            "profile": "cpu",
            "folders": [{"path": str(inbox), "ahead": 2}],
            "stop": {"finish": 0, "within": "20 s"},
            "limits": {"disk": {"low": 1, "enough": 2, "every": "50 ms"}, "jobs": {"open": 2}},
            **changes,
        }
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return write


@pytest.fixture
def configured(written: Callable[..., Path]) -> Configured:
    return lambda **changes: read_config(written(**changes))[0]
