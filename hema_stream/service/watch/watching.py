"""Watching a folder: looks whenever something happens in it, and from time to time, and claims what is whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from time import monotonic

import structlog
from watchfiles import awatch

from hema_stream.service.outage import outage_of
from hema_stream.service.watch.claims import Claimed, Claims, Found, shown
from hema_stream.service.watch.rules import WatchRules
from hema_stream.service.watch.stability import Stability

RETRY, LONGEST_RETRY = 5.0, 300.0
"""Seconds before a file that cannot be moved is tried again."""
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
    claims, stability, stuck = Claims(folder, rules), Stability(), Stuck()
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
            if stuck.waits(found):
                continue
            if stop.is_set():
                return
            if not may_claim():
                break
            try:
                taken = await _claimed(claims, found, age)
            except OSError as error:
                stuck.note(found, error)
                if outage_of(error) is not None:
                    raise  # the folder's matter, not the file's
                continue
            if taken is not None:
                yield taken


class Stuck:
    """Files that cannot be claimed: each is tried again from time to time, ever less often, and told once."""

    def __init__(self) -> None:
        self._until: dict[str, tuple[float, float]] = {}

    def note(self, found: Found, error: OSError) -> None:
        """Remember that a file could not be claimed."""
        wait, _ = self._until.get(found.name, (RETRY / 2, 0.0))
        if found.name not in self._until:
            _log.error("cannot be claimed", slide=shown(found.name), error=error.strerror or str(error))
        wait = min(wait * 2, LONGEST_RETRY)
        self._until[found.name] = wait, monotonic() + wait

    def waits(self, found: Found) -> bool:
        """Whether it is too early to try a file again."""
        return monotonic() < self._until.get(found.name, (0.0, 0.0))[1]


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
    _log.warning("quarantined", slide=shown(found.name), code=refusal[0])
    await claimed.failed(*refusal)
    return None


def _refusal(found: Found, age: float, rules: WatchRules) -> tuple[str, str] | None:
    if not found.regular:
        return "not_a_file", "it is a link or another special file, which is not followed"
    if shown(found.name) != found.name:
        return "name", "its name is not UTF-8: rename it"
    if not found.size:
        return "empty", f"it had no byte for {age:.0f} seconds"
    if found.size > rules.most_bytes:
        return "size", f"it has {found.size} bytes; at most {rules.most_bytes} are taken"
    return None
