"""Sending objects between processes with their arrays in shared memory: written once, mapped, never pickled."""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

LARGE = 1 << 16
ALIGNMENT = 64
PREFIX = "hema-flow-"
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())


def pack(value: Any, prefix: str) -> tuple[bytes, str | None, list[tuple[int, int]]]:
    """Pickle a value; buffers go to a file in shared memory where they are large together.

    Raises:
        OSError: shared memory is full; nothing is left of the file.

    Returns:
        The pickle, the file (None where buffers stayed in the pickle), and (offset, length) of each buffer.
    """
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    if sum(view.nbytes for view in views) < LARGE:
        return pickle.dumps(value, protocol=5), None, []
    places, end = [], 0
    for view in views:
        places.append((end, view.nbytes))
        end += -(-view.nbytes // ALIGNMENT) * ALIGNMENT
    handle, path = tempfile.mkstemp(prefix=prefix, dir=MEMORY)
    try:
        reserve(handle, end)
        with mmap.mmap(handle, end) as memory:
            for (offset, length), view in zip(places, views, strict=True):
                memory[offset : offset + length] = view
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(handle)
    return data, path, places


def unpack(data: bytes, path: str | None, places: list[tuple[int, int]]) -> Any:
    """Rebuild a value over the mapped file, which is unlinked at once and freed with the last array over it."""
    if path is None:
        return pickle.loads(data)
    handle = os.open(path, os.O_RDWR)
    try:
        memory = memoryview(mmap.mmap(handle, 0))
    finally:
        os.close(handle)
        os.unlink(path)
    return pickle.loads(data, buffers=[memory[offset : offset + length] for offset, length in places])


def reserve(handle: int, size: int) -> None:
    """Make a file so large with room behind it: writing to a sparse one would be SIGBUS where there is none."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
    else:
        os.write(handle, bytes(size))


def sweep(prefix: str) -> None:
    """Remove what a killed worker left behind."""
    for path in MEMORY.glob(f"{prefix}*"):
        path.unlink(missing_ok=True)


def sweep_dead() -> None:
    """Remove what processes that were killed with their workers left behind."""
    for path in MEMORY.glob(f"{PREFIX}*"):
        owner = path.name[len(PREFIX) :].partition("-")[0]
        if owner.isdigit() and not _lives(int(owner)):
            with suppress(OSError):
                path.unlink()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True
