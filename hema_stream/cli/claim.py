"""Claiming folders of results, so that two runs never write into one."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from hema_stream.core.errors import OutputError

if TYPE_CHECKING:
    from hema_stream.core.slide import InputImage

LOCK = ".hema-stream.lock"
PARTIAL = ".partial"
"""Ending of a file that is being written, or that a killed run left; the next writer removes it."""
UNLOCKABLE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""How file systems without locks answer; there the folder that only one run can make has to do."""
CLAIM = f".claim{PARTIAL}"
"""Tells a folder that a run made and did not fill from one that is somebody's."""


class Claims:
    """What one run may write to, below one folder.

    Each image's folder is a byte of one file that is locked (POSIX record locks): one descriptor whatever the number of
    images, and a run that is killed lets go of all.

    Raises:
        OutputError: the folder cannot be made or written to.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._made: list[Path] = []
        try:
            self._made_out = not out.exists()
            out.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(out / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise self._unwritable(error) from error

    def take(self, image: InputImage, force: bool) -> None:
        """Claim an image's folder.

        Raises:
            OutputError: ``claimed`` by another run, or ``exists`` where it holds results and force is not wanted.
        """
        self._lock_byte(image)
        folder = self._out / image.id
        try:
            folder.mkdir()
            (folder / CLAIM).touch()
            self._made.append(folder)
        except FileExistsError as error:
            if not force and not _is_free(folder):
                what = f"has results already in {folder}"
                remedy = "write over them with --force, or name another folder"
                raise OutputError(what, place=str(image.path), remedy=remedy, code="exists") from error
        except OSError as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> Claims:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let go, and remove what this run made and did not fill."""
        for folder in self._made:
            with suppress(OSError):
                (folder / CLAIM).unlink(missing_ok=True)
            _remove_empty(folder)
        with suppress(OSError):  # another run goes on
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(self._out / LOCK)
            if self._made_out:
                _remove_empty(self._out)
        os.close(self._lock)

    def _lock_byte(self, image: InputImage) -> None:
        byte = int.from_bytes(hashlib.sha256(image.id.encode()).digest()[:7])
        while True:
            try:
                fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except (BlockingIOError, PermissionError) as error:
                what = f"another run is writing to {self._out / image.id}"
                remedy = "wait for it, or name another folder"
                raise OutputError(what, place=str(image.path), remedy=remedy, code="claimed") from error
            except OSError as error:
                if error.errno not in UNLOCKABLE:
                    raise self._unwritable(error) from error
            if self._is_current():
                return

    def _is_current(self) -> bool:
        """Whether the file that is locked still has its name; else the run that removed it had just ended."""
        path = self._out / LOCK
        if path.exists() and os.path.samestat(os.fstat(self._lock), os.stat(path)):
            return True
        os.close(self._lock)
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        return False

    def _unwritable(self, error: OSError) -> OutputError:
        remedy = "name a folder that you may write to"
        return OutputError(error.strerror or str(error), place=str(error.filename or self._out), remedy=remedy)


@contextmanager
def claimed(
    out: Path, images: Sequence[InputImage], force: bool
) -> Iterator[tuple[list[InputImage], list[tuple[InputImage, OutputError]]]]:
    """Claim the folders of images: those that are this run's, and why the others are not."""
    if not images:
        yield [], []
        return
    with Claims(out) as claims:
        free, taken = [], []
        for image in images:
            try:
                claims.take(image, force)
                free.append(image)
            except OutputError as error:
                if error.code == OutputError.code:
                    raise
                taken.append((image, error))
        yield free, taken


def _is_free(folder: Path) -> bool:
    """Whether a folder holds what a killed run was about to write, and nothing else."""
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return bool(names) and all(name.startswith(".") and name.endswith(PARTIAL) for name in names)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # it holds results
        folder.rmdir()
