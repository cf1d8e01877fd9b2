"""The product's own source of watched folders, as the daemon drives it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pretend
import pytest
from watched import put, running

from hema_stream.service import warm
from hema_stream.service.daemon import folders
from hema_stream.service.daemon.source import folder_watch
from hema_stream.service.parts import STORE
from hema_stream.service.settings import load_limits
from hema_stream.service.watch import WatchRules

RULES = {
    "suffixes": (".png",),
    "unfinished": (".part",),
    "companions": (),
    "stable": 0.1,
    "empty": 0.3,
    "most_bytes": 1 << 20,
    "attempts": 3,
    "keep": True,
    "polling": False,
}


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(warm, "build_pipeline", pretend.build)
    monkeypatch.setattr(folders, "LOOK", 0.01)
    return load_limits().model_copy(update={"watch": WatchRules(**RULES)})


async def test_files_are_claimed_analysed_and_kept_or_quarantined(configured: Any, inbox: Path, limits: Any) -> None:
    put(inbox, "a.png", "bad-b.png", "notes.txt")
    async with running(configured(), folder_watch(limits)) as box:
        await box.until(lambda: box.names("done") == ["a.png"] and "bad-b.png" in os.listdir(inbox / "quarantine"))
        assert "unreadable" in (inbox / "quarantine" / "bad-b.png.reason.json").read_text()
        await box.until(lambda: all(Path(job.path).is_file() for job in box.app[STORE].page().jobs))
    assert (inbox / "notes.txt").exists()


async def test_a_slide_is_not_given_up_for_stops(configured: Any, inbox: Path, limits: Any) -> None:
    """The source would hand it out three times; how often a slide is tried is counted with its job."""
    put(inbox, "slow-1.png", "slow-2.png", "slow-3.png")
    for _ in range(4):
        async with running(configured(), folder_watch(limits)) as box:
            await box.until(lambda: len(box.stage.begun) > 0)
    async with running(configured(), folder_watch(limits)) as box:
        box.stage.go.set()
        await box.until(lambda: box.names("done") == ["slow-1.png", "slow-2.png", "slow-3.png"])
        assert box.app[STORE].counts() == {"done": 3}
