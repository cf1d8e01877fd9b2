"""Where a watched folder stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class FolderStanding:
    """Where a watched folder stands, since the start.

    Attributes:
        state: ``starting``, ``watching`` or ``unreachable``; why: what is wrong.
        claimed, done, failed: files.
    """

    path: Path
    state: str = "starting"
    why: str = ""
    claimed: int = 0
    done: int = 0
    failed: int = 0
