"""What the daemon asks of a watched folder's source; whoever watches need know nothing of jobs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol


class Claim(Protocol):
    """A file that was taken out of a watched folder, whole and by nobody else."""

    @property
    def path(self) -> Path:
        """Where it lies until the verdict; no other claim that waits for one has this path."""

    @property
    def name(self) -> str:
        """What it was called in the folder."""

    async def done(self) -> Path:
        """It was analysed; where it lies now."""

    async def failed(self, reason: str) -> Path:
        """It could not be, for this reason; where it lies now."""


class Watch(Protocol):
    """Watches a folder."""

    def __call__(self, folder: Path) -> AsyncGenerator[Claim]:
        """Claim file after file, each once; those of an earlier watch without a verdict come again first.

        Nothing is claimed while nobody asks for the next. Closing it ends the watch, and claims stay as they are.
        """
