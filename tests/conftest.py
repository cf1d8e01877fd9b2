"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fields() -> Path:
    """The shipped example fields."""
    return Path(__file__).parent.parent / "examples" / "fields"


@pytest.fixture(scope="session", autouse=True)
def _no_sites_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Sites that tests make are nobody's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEMA_STREAM_SITES", str(tmp_path_factory.mktemp("sites")))
        yield
