"""Watermarks: work stops under the low mark and goes on from the high one, and nothing is deleted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hema_stream.service.disk import Disk, DiskLimits
from hema_stream.service.parts import DISK, STORE


class Free:
    """How much is free, for ``shutil.disk_usage``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free: int | OSError = 100
        monkeypatch.setattr("shutil.disk_usage", self._usage)

    def _usage(self, _: Path) -> Any:
        if isinstance(self.free, OSError):
            raise self.free
        return type("Usage", (), {"free": self.free, "total": 1000})


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Free:
    return Free(monkeypatch)


def limits(low: int = 50, enough: int = 80) -> DiskLimits:
    return DiskLimits.model_validate({"low": low, "enough": enough, "every": 0.01})


async def test_between_the_marks_it_stays_as_it_was(room: Free, tmp_path: Path) -> None:
    disk, told = Disk(tmp_path, limits()), []
    disk.on_change = told.append
    seen = []
    for free in (100, 50, 49, 50, 79, 80, 50, 10):
        room.free = free
        await disk.look()
        seen.append(disk.low)
    assert seen == [False, False, True, True, True, False, False, True]
    assert told == [True, False, True]


async def test_it_is_looked_at_again_and_again(room: Free, tmp_path: Path) -> None:
    disk, low = Disk(tmp_path, limits()), asyncio.Event()
    disk.on_change = lambda _: low.set()
    watching = asyncio.create_task(disk.watch())
    await asyncio.sleep(0.03)
    room.free = 1
    await asyncio.wait_for(low.wait(), 5)
    watching.cancel()


async def test_a_disk_that_cannot_be_looked_at_stays_as_it_was(room: Free, tmp_path: Path) -> None:
    disk = Disk(tmp_path, limits())
    room.free = OSError("gone")
    await disk.look()
    assert not disk.low


def test_marks_that_cross_are_refused() -> None:
    with pytest.raises(ValidationError, match="enough must not be under low"):
        limits(low=5, enough=4)


async def test_a_service_begins_nothing_while_the_disk_is_low(service: Any, room: Free) -> None:
    room.free = 1
    await service.app[DISK].look()
    slide = await service.submit("a.png")
    await asyncio.sleep(0.1)
    assert service.app[STORE].counts() == {"queued": 1}
    room.free = 1 << 40
    await service.app[DISK].look()
    await service.until(slide, "done")
