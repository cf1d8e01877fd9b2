"""Watching a folder: looks whenever something happens in it, and from time to time, and claims what is whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from time import monotonic

import structlog
from watchfiles import awatch

from hema_stream.service.watch.claims import Claimed, Claims, Found
from hema_stream.service.watch.rules import WatchRules
from hema_stream.service.watch.stability import Stability

_log = structlog.get_logger(__name__)


async def watch(
    folder: Path,
    rules: WatchRules,
    stop: asyncio.Event | None = None,
    may_claim: Callable[[], bool] = lambda: True,
) -> AsyncGenerator[Claimed]:
    """Yield slides of a folder as they are whole, each for one watcher alone; first those that an earlier run left.

    The next slide is claimed when the one before has been taken: whoever iterates slowly claims slowly. What cannot
    be a slide (a link, an empty or too large file) goes to quarantine with its reason.

    Args:
        stop: ends the iteration once it is set.
        may_claim: asked before each claim; while it says no, as on a full disk, slides stay where they are.

    Raises:
        WatchError: the folder cannot be watched.
    """
    stop = stop or asyncio.Event()
    claims, stability = Claims(folder, rules), Stability()
    await asyncio.to_thread(claims.prepare)
    for claimed in await asyncio.to_thread(lambda: list(claims.left_behind())):
        yield claimed
    beat = max(int(rules.stable * 500), 50)
    events = awatch(
        folder,
        stop_event=stop,
        recursive=False,
        step=min(50, beat),
        debounce=beat,
        rust_timeout=beat,
        yield_on_timeout=True,
        force_polling=rules.polling or None,
        watch_filter=None,
    )
    async for _ in events:
        for found, age in await asyncio.to_thread(_whole, claims, stability):
            if stop.is_set():
                return
            if not may_claim():
                break
            taken = await _claimed(claims, found, age)
            if taken is not None:
                yield taken


def _whole(claims: Claims, stability: Stability) -> list[tuple[Found, float]]:
    """What has stayed as it is for long enough, with how long."""
    now, there = monotonic(), claims.look()
    stability.keep(found.name for found in there)
    ages = [(found, stability.observe(found.name, found.signature, now)) for found in there]
    rules = claims.rules
    return [(found, age) for found, age in ages if age >= (rules.stable if found.size else rules.empty)]


async def _claimed(claims: Claims, found: Found, age: float) -> Claimed | None:
    """Claim a slide; None where somebody else has, or where it went to quarantine."""
    claimed = await asyncio.to_thread(claims.claim, found.name)
    if claimed is None:
        return None
    refusal = _refusal(found, age, claims.rules)
    if refusal is None:
        return claimed
    _log.warning("quarantined", slide=found.name, code=refusal[0])
    await claimed.failed(*refusal)
    return None


def _refusal(found: Found, age: float, rules: WatchRules) -> tuple[str, str] | None:
    if not found.regular:
        return "not_a_file", "it is a link or another special file, which is not followed"
    if not found.size:
        return "empty", f"it had no byte for {age:.0f} seconds"
    if found.size > rules.most_bytes:
        return "size", f"it has {found.size} bytes; at most {rules.most_bytes} are taken"
    return None
