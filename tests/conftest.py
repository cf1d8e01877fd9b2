"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fields() -> Path:
    """The shipped example fields."""
    return Path(__file__).parent.parent / "examples" / "fields"
