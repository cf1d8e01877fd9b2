"""The product's source of watched folders, as the daemon asks for one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from hema_stream.core.errors import ConfigError
from hema_stream.service.daemon.claims import Claim, Watch
from hema_stream.service.settings import ServiceLimits

MODULE = "hema_stream.service.watch"
ENDLESS = 1_000_000
"""Times that the source may hand a file out again: how often one is tried is counted with its job."""


@dataclass(frozen=True)
class KeyedClaim:
    """A claim of the source's, named by the part of its folder's name that stays the same."""

    claimed: Any

    @property
    def key(self) -> str:
        """Random, made with the claim."""
        return str(self.claimed.path.parent.name.partition(".")[0])

    @property
    def path(self) -> Path:
        """Where the file lies."""
        path: Path = self.claimed.path
        return path

    @property
    def name(self) -> str:
        """What it was called."""
        return self.path.name

    async def done(self) -> Path | None:
        """It was analysed."""
        place: Path | None = await self.claimed.done()
        return place

    async def failed(self, code: str, reason: str) -> Path:
        """It goes to quarantine."""
        place: Path = await self.claimed.failed(code, reason)
        return place


def folder_watch(limits: ServiceLimits) -> Watch:
    """The source, with the rules of ``limits.watch``.

    Raises:
        ConfigError: it is not part of this installation.
    """
    try:
        source: Any = import_module(MODULE)
    except ModuleNotFoundError as error:
        remedy = "take 'folders' out of the configuration, or install a hema-stream that has it"
        raise ConfigError(f"folders cannot be watched: {error.name} is missing", remedy=remedy) from error
    rules = dict(limits)["watch"].model_copy(update={"attempts": ENDLESS})

    async def watch(folder: Path, may_claim: Callable[[], bool]) -> AsyncGenerator[Claim]:
        async with aclosing(source.watch(folder, rules, may_claim=may_claim)) as claims:
            async for claimed in claims:
                yield KeyedClaim(claimed)

    return watch
