"""The figures of a site's slides, in the order in which they ended: a line of JSON each, beside its profiles."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hema_models.site.store import SiteStore
from hema_stream.core.errors import ConfigError, ModelError
from hema_stream.core.reading import Reading
from hema_stream.core.site_use import SiteUse

FILE = "slides.jsonl"
FIRST, LATEST = 30, 60
"""Slides that limits are drawn on, and latest ones that are looked back on."""


@dataclass(frozen=True)
class History:
    """What a site is compared with.

    Attributes:
        first: the slides it began with, at most ``FIRST``; latest: the last ones, at most ``LATEST``; oldest first.
    """

    first: tuple[Reading, ...] = ()
    latest: tuple[Reading, ...] = ()

    def without(self, slide: str) -> History:
        """The same without a slide, which is analysed again."""
        kept = (tuple(r for r in part if r.slide != slide) for part in (self.first, self.latest))
        return History(*kept)


class Readings:
    """The file of one site.

    Args:
        folder: the site's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    @classmethod
    def of(cls, use: SiteUse) -> Readings | None:
        """Those of the site of a slide; None where the very version is none of this machine's, but a file."""
        store = SiteStore()
        try:
            kept = store.load(use.name, use.version)
        except (ConfigError, ModelError):
            return None
        return cls(store.folder(use.name)) if kept.identity == use.identity else None

    def read(self) -> History:
        """The first and the latest slides; a line that was cut short by a power failure is passed over."""
        first: list[Reading] = []
        latest: deque[str] = deque(maxlen=LATEST)
        for line in self._lines():
            if len(first) < FIRST:
                first.extend(_parsed(line))
            latest.append(line)
        return History(tuple(first), tuple(reading for line in latest for reading in _parsed(line)))

    def add(self, reading: Reading) -> None:
        """Write a slide down; OSError where the disk does not take it."""
        told = {
            "slide": reading.slide,
            "at": reading.at.isoformat(),
            "networks": dict(reading.networks),
            "figures": dict(reading.figures),
        }
        line = json.dumps(told, ensure_ascii=False).encode() + b"\n"
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)

    def restart(self) -> Path | None:
        """Put the slides so far aside, so that limits are drawn on those to come; where they lie, None without any."""
        if not self._path.exists():
            return None
        aside = self._path.with_name(f"slides-until-{datetime.now(UTC):%Y%m%dT%H%M%S}.jsonl")
        return self._path.rename(aside)

    def _lines(self) -> Iterator[str]:
        try:
            with self._path.open(encoding="utf-8", errors="replace") as handle:
                yield from handle
        except OSError:  # there is none yet; or it cannot be read, nor added to, which is told then
            return


def _parsed(line: str) -> list[Reading]:
    try:
        told = json.loads(line)
        figures = {str(name): float(value) for name, value in told["figures"].items()}
        return [Reading(str(told["slide"]), datetime.fromisoformat(told["at"]), dict(told["networks"]), figures)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
