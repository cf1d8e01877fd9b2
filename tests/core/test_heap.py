"""Freed memory goes back to the system, also below blocks that stay."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

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


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library has no mallopt")
def test_blocks_that_stay_hold_no_freed_memory_back() -> None:
    command = [sys.executable, "-c", CHURN]
    grown = {
        how: float(subprocess.run([*command, how], capture_output=True, text=True, check=True).stdout)
        for how in ("default", "bounded")
    }
    assert grown["default"] > 30, "the churn does not show what is to be prevented"
    assert grown["bounded"] < 10
