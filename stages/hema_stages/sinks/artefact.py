"""Files that appear whole or not at all: temporary name, sync, rename."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from hema_stream.core.errors import OutputError

REMEDY = "free space on the disk, or choose another folder"


class Artefacts:
    """Files of one folder that belong together; they take their names when all of them are written.

    Args:
        folder: exists.
        last: the file that appears after all others, and so says that they are there.
    """

    def __init__(self, folder: Path, last: str = "") -> None:
        self.folder = folder
        self.last = last
        self._written: dict[Path, Path] = {}

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file for writing under a temporary name; it is on the disk when the block ends."""
        path = self.folder / name
        partial = path.with_name(f".{name}.{os.getpid()}.partial")
        self._written[path] = partial
        with partial.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())

    def commit(self) -> None:
        """Give every file its name."""
        for path, partial in sorted(self._written.items(), key=lambda entry: entry[0].name == self.last):
            partial.replace(path)
        _sync_folder(self.folder)

    def discard(self) -> None:
        """Remove what has no name yet."""
        for partial in self._written.values():
            partial.unlink(missing_ok=True)


@contextmanager
def artefacts(folder: Path, last: str = "") -> Iterator[Artefacts]:
    """Write files into a folder, which is made where it is missing; after a failure none of them is there.

    What a killed run left behind under temporary names is removed first.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(".*.partial"):
            stale.unlink(missing_ok=True)
        files = Artefacts(folder, last)
        try:
            yield files
            files.commit()
        finally:
            files.discard()
    except OSError as error:
        raise OutputError(error.strerror or str(error), place=str(error.filename or folder), remedy=REMEDY) from error


def _sync_folder(folder: Path) -> None:
    """Make the new names last through a loss of power; not every system lets a folder be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
