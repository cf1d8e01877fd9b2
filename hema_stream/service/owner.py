"""One owner: a folder of data, or a watched one, is one process's alone, by flock(2) on the folder itself.

The system lets go of it with the process, however that ends, and nothing is left in the folder.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path

import structlog

from hema_stream.core.errors import HemaError

FALLBACK = ".owner"
"""File that is locked where a folder cannot be, as on NFS."""
LOCKS = Path("/proc/locks")
_log = structlog.get_logger(__name__)


class OwnedError(HemaError):
    """Another process owns a folder; ``place`` names it."""

    code = "owned"


class Owner:
    """Owns a folder from ``take`` until ``let_go``, or its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: weakref.finalize[[int], Owner] | None = None

    def take(self) -> None:
        """Become the owner; taking again what is owned changes nothing.

        Raises:
            OwnedError: another process is, whose id is told where the system tells it.
            OSError: the folder cannot be opened.
        """
        if self._held is not None:
            return
        descriptor = _open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock(descriptor)
        except BlockingIOError as error:
            pid = _holder(descriptor)
            os.close(descriptor)
            who = f"process {pid}" if pid else "another process"
            raise OwnedError(f"{who} works on it", place=str(self.folder), remedy="stop that one first") from error
        except OSError as error:
            os.close(descriptor)
            descriptor = self._fallen_back(error)
        self._held = weakref.finalize(self, os.close, descriptor)

    def let_go(self) -> None:
        """Own it no longer."""
        if self._held is not None:
            self._held()
            self._held = None

    def _fallen_back(self, why: OSError) -> int:
        descriptor = _open(self.folder / FALLBACK, os.O_RDWR | os.O_CREAT)
        try:
            _lock(descriptor)
        except BlockingIOError as error:
            os.close(descriptor)
            raise OwnedError(
                "another process works on it", place=str(self.folder), remedy="stop that one first"
            ) from error
        except OSError:
            _log.warning("cannot be locked; nothing else may work on it", folder=str(self.folder), error=str(why))
        return descriptor


def _open(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _lock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(descriptor: int) -> int | None:
    """Id of the process that holds a lock, as /proc/locks tells it (proc_locks(5))."""
    try:
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return None
    inode = str(os.fstat(descriptor).st_ino)
    for line in lines:
        parts = line.split()
        if "FLOCK" in parts and parts[-3].rpartition(":")[2] == inode:
            return int(parts[-4]) or None
    return None
