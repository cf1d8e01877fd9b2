"""What the daemon asks of a watched folder's source; whoever watches need know nothing of jobs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Protocol


class Claim(Protocol):
    """A file that was taken out of a watched folder, whole and by nobody else."""

    @property
    def key(self) -> str:
        """Names the claim, at random, until its verdict: 8 to 40 small letters and digits, the same over all starts."""

    @property
    def path(self) -> Path:
        """Where the file lies until the verdict or the next watch."""

    @property
    def name(self) -> str:
        """What it was called in the folder."""

    async def done(self) -> Path | None:
        """It was analysed; where it lies now, None where it is no longer kept."""

    async def failed(self, code: str, reason: str) -> Path:
        """It could not be, for this reason; where it lies now."""


class Watch(Protocol):
    """Watches a folder."""

    def __call__(self, folder: Path, may_claim: Callable[[], bool]) -> AsyncGenerator[Claim]:
        """Claim file after file, each once; those of an earlier watch without a verdict come again first.

        Nothing is claimed while nobody asks for the next, or while ``may_claim`` says no. Closing it ends the watch;
        claims stay as they are.
        """
