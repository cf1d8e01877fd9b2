"""What the C library keeps of memory that was freed."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_ARENA_MAX = -1, -8  # parameters of mallopt(3), glibc's malloc.h
TRIM_THRESHOLD = 1 << 20
ARENAS = 2


def bound_heap() -> None:
    """Let glibc give freed memory back early, from few arenas; a C library without ``mallopt`` is left as it is.

    By default each of a dozen stage threads has a heap of its own, and what is freed below the newest block of any
    stays resident: a slide's tables grow by megabytes between batches that come and go, so a large slide ends with
    hundreds of megabytes that nothing uses (benchmarks/memory.py). To be called before threads are started.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)
        mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)
