"""A stand-in for the watched-folder source: files are claimed by a rename as soon as they are there.

As the real one does it, a claim lies in a folder of its own, which gets another name with each watch.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class StandInClaim:
    path: Path
    folder: Path

    @property
    def key(self) -> str:
        return self.path.parent.name.partition(".")[0]

    @property
    def name(self) -> str:
        return self.path.name

    async def done(self) -> Path | None:
        return self._move("done")

    async def failed(self, code: str, reason: str) -> Path:
        place = self._move("failed")
        place.with_name(f"{place.name}.reason").write_text(f"{code}: {reason}")
        return place

    def _move(self, where: str) -> Path:
        (self.folder / where).mkdir(exist_ok=True)
        place = self.folder / where / self.name
        while place.exists():
            place = place.with_name(f"again-{place.name}")
        moved = self.path.rename(place)
        self.path.parent.rmdir()
        return moved


async def watch(folder: Path, may_claim: Callable[[], bool] = lambda: True) -> AsyncGenerator[StandInClaim]:
    """Claim every file of a folder, oldest name first; what an earlier watch claimed comes first."""
    for path in _left_behind(folder):
        yield StandInClaim(path, folder)
    while True:
        for path in _files(folder):
            if may_claim():
                yield StandInClaim(_claimed(path), folder)
        await asyncio.sleep(0.01)


def _left_behind(folder: Path) -> list[Path]:
    (folder / "claimed").mkdir(exist_ok=True)
    found = []
    for place in sorted((folder / "claimed").iterdir()):
        key, _, attempt = place.name.partition(".")
        found += [*place.rename(place.with_name(f"{key}.{int(attempt) + 1}")).iterdir()]
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() or path.is_symlink())


def _claimed(path: Path) -> Path:
    place = path.parent / "claimed" / f"{secrets.token_hex(6)}.1"
    place.mkdir()
    return path.rename(place / path.name)
