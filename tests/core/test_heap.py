"""Freed memory goes back to the system, also below blocks that stay."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from hema_stream.cli import main
from hema_stream.core.heap import ARENAS

CHURN = """
import sys
import psutil
from hema_stream.core.heap import bound_heap

if sys.argv[1] == "bounded":
    bound_heap()
resident = lambda: psutil.Process().memory_info().rss / 2**20
bytearray(16 << 20)  # by default a large block that was freed keeps later ones of its size on the heap
before, kept, passing = resident(), [], []
for _ in range(400):
    passing.append(bytearray(b"x" * 250_000))
    kept.append(bytearray(b"x" * 2_000))
del passing
print(resident() - before)
"""

THREADS = """
import ctypes
import sys
import threading
from hema_stream.core.heap import bound_heap

if sys.argv[1] == "bounded":
    bound_heap()
together, kept = threading.Barrier(8), []
def work():
    together.wait()
    kept.append(bytearray(3_000))
    together.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""

glibc = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="the C library is not glibc")


def run(script: str, how: str) -> str:
    return subprocess.run([sys.executable, "-c", script, how], capture_output=True, text=True, check=True).stdout


@glibc
def test_blocks_that_stay_hold_no_freed_memory_back() -> None:
    assert float(run(CHURN, "default")) > 30, "the churn does not show what is to be prevented"
    assert float(run(CHURN, "bounded")) < 10


@glibc
def test_threads_share_two_heaps() -> None:
    assert run(THREADS, "default").count("<heap nr=") > ARENAS, "the threads do not show what is to be prevented"
    assert run(THREADS, "bounded").count("<heap nr=") <= ARENAS


def test_the_program_bounds_its_heap(monkeypatch: pytest.MonkeyPatch) -> None:
    bounded: list[bool] = []
    monkeypatch.setattr("hema_stream.core.heap.bound_heap", lambda: bounded.append(True))
    monkeypatch.setattr(sys, "argv", ["hema-stream", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert bounded
