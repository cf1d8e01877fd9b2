"""Bounding what a worker process may take while it decodes what a stranger made."""

from __future__ import annotations

import multiprocessing


def bound_address_space(size: int) -> None:
    """Let this worker map at most ``size`` bytes beyond what its libraries have mapped so far.

    Beyond that an allocation fails with MemoryError, which costs a tile or a slide. The main process is left alone,
    and 0 sets no limit.
    """
    if not size or multiprocessing.parent_process() is None:
        return
    import resource

    import psutil

    limit = psutil.Process().memory_info().vms + size
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
