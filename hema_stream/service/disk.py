"""Room on the disk: below the low mark nothing new is begun, above the high one it goes on. Nothing is ever deleted."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import structlog
from pydantic import model_validator

from hema_stream.service.part import Part
from hema_stream.service.quantities import Bytes, Seconds

_log = structlog.get_logger(__name__)


class DiskLimits(Part):
    """Free space in bytes at which work stops and goes on, and how often it is looked at, seconds."""

    low: Bytes
    enough: Bytes
    every: Seconds

    @model_validator(mode="after")
    def _apart(self) -> DiskLimits:
        if self.enough < self.low:
            raise ValueError("enough must not be under low")
        return self


class Disk:
    """Watermarks of the disk that holds the data.

    Attributes:
        free, total: bytes, as last looked at.
        low: whether new work must wait.
        on_change: called with ``low`` when it changes.
    """

    def __init__(self, folder: Path, limits: DiskLimits) -> None:
        self._folder, self.limits = folder, limits
        self.low = False
        self.free = self.total = 0
        self.on_change: Callable[[bool], None] = lambda _: None

    async def watch(self) -> None:
        """Look again and again."""
        while True:
            await self.look()
            await asyncio.sleep(self.limits.every)

    async def look(self) -> None:
        """Look once."""
        try:
            usage = await asyncio.to_thread(shutil.disk_usage, self._folder)
        except OSError as error:
            _log.warning("disk cannot be looked at", folder=str(self._folder), error=str(error))
            return
        self.free, self.total = usage.free, usage.total
        # Between the marks it stays as it is: else each finished slide would switch it.
        low = usage.free < (self.limits.enough if self.low else self.limits.low)
        if low is not self.low:
            _log.warning("disk is low" if low else "disk has room again", free=usage.free, low=self.limits.low)
            self.low = low
            self.on_change(low)
