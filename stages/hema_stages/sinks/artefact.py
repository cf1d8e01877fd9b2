"""Files that appear whole or not at all: temporary name, sync, rename."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO

from hema_stream.core.errors import OutputError

REMEDY = "free space on the disk, or choose another folder"


_numbers = count()


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
        partial = path.with_name(f".{name}.{os.getpid()}.{next(_numbers)}.partial")
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
def artefacts(folder: Path, last: str = "", replace: bool = True) -> Iterator[Artefacts]:
    """Write files into a folder, which is made where it is missing; after a failure none of them is there.

    The folder is locked meanwhile. What a killed run left behind under temporary names is removed first: whoever made
    it would hold the lock.

    Args:
        folder: where; last: the file that appears after all others.
        replace: whether a ``last`` that is there already is replaced.

    Raises:
        OutputError: the folder or a file cannot be written; ``claimed``, where somebody else writes into it; or
            ``exists``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder) as alone:
            for stale in folder.glob(".*.partial") if alone else ():
                stale.unlink(missing_ok=True)
            files = Artefacts(folder, last)
            try:
                yield files
                if not replace and (folder / last).exists():
                    remedy = "write over it with --force, or name another folder"
                    raise OutputError("exists already", place=str(folder / last), remedy=remedy, code="exists")
                files.commit()
            finally:
                files.discard()
    except OSError as error:
        raise OutputError(error.strerror or str(error), place=str(error.filename or folder), remedy=REMEDY) from error


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold a folder for one writer; False where the file system knows no such locks."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield _lock(handle, folder)
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        remedy = "wait for it, or name another folder"
        raise OutputError("somebody else writes here", place=str(folder), remedy=remedy, code="claimed") from error
    except OSError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Make the new names last through a loss of power; not every system lets a folder be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
