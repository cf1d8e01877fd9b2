"""Standard streams that are closed, full or gone: the work is done all the same, and the exit code tells of it."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any, TextIO

STDIN, STDOUT, STDERR = 0, 1, 2


class Guarded(io.RawIOBase):
    """A descriptor that is written to as long as that works; what comes after the first failure is dropped.

    Attributes:
        lost: why something could not be written; None where all was, or where the reader has gone away (``| head``).
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._gone = False
        self.lost: OSError | None = None

    def write(self, data: Any) -> int:
        """Write what the descriptor takes; claim all of it once it takes nothing more."""
        while not self._gone:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # another program has made the terminal or pipe one that does not wait
                select.select([], [self._descriptor], [])
            except OSError as error:
                self._gone = True
                self.lost = None if error.errno == errno.EPIPE else error
        return len(data)

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)


def guard_streams() -> Guarded:
    """Open what is closed onto nothing, and guard what is written to; returns standard output's guard.

    A closed descriptor would be given to the next file that is opened, and what is printed would be written into it.
    """
    for descriptor in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
    if sys.stdin is None:
        sys.stdin = open(STDIN, closefd=False)  # noqa: SIM115  it lives as long as the process
    out = Guarded(STDOUT)
    sys.stdout = _text(out, sys.stdout)
    sys.stderr = _text(Guarded(STDERR), sys.stderr)
    return out


def _text(raw: Guarded, before: TextIO | None) -> TextIO:
    """Text over a guard, in the encoding that was chosen; letters that it lacks are told by their number."""
    encoding = getattr(before, "encoding", None) or "utf-8"
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, encoding=encoding, errors="backslashreplace", line_buffering=True)
