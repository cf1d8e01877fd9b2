"""A stand-in for the watched-folder source: files are claimed by a rename as soon as they are there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path


@dataclass
class StandInClaim:
    path: Path
    folder: Path
    name: str

    async def done(self) -> Path:
        return self._move("done")

    async def failed(self, reason: str) -> Path:
        place = self._move("failed")
        place.with_name(f"{place.name}.reason").write_text(reason)
        return place

    def _move(self, where: str) -> Path:
        (self.folder / where).mkdir(exist_ok=True)
        place = self.folder / where / self.name
        number = 0
        while place.exists():
            number += 1
            place = self.folder / where / f"{number}-{self.name}"
        return self.path.rename(place)


async def watch(folder: Path) -> AsyncGenerator[StandInClaim]:
    """Claim every file of a folder, oldest name first; what an earlier watch claimed comes first."""
    for path in _files(folder, "claimed"):
        yield StandInClaim(path, folder, path.name)
    while True:
        for path in _files(folder):
            place = folder / "claimed" / path.name
            if not place.exists():
                yield StandInClaim(path.rename(place), folder, path.name)
        await asyncio.sleep(0.01)


def _files(watched: Path, below: str = "") -> list[Path]:
    """Files of a watched folder, or of one below it; FileNotFoundError where the watched one is gone."""
    folder = watched / below
    if below:
        folder.mkdir(exist_ok=True)
    return sorted(path for path in folder.iterdir() if path.is_file() or path.is_symlink())
