"""What the machine ran out of, told in a line: it is no defect."""

from __future__ import annotations

import errno

from hema_stream.core.errors import HemaError

LEAST_ADDRESS_SPACE = 1800 << 20
"""Bytes that the networks and their libraries map; under about half of it OpenVINO crashes."""
_REMEDIES = {
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "the machine has too many open files",
    errno.ENOMEM: "free memory, or raise its limit (ulimit -v)",
    errno.ENOSPC: "free space on the disk",
    errno.EDQUOT: "free space in your quota",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f)",
    errno.EAGAIN: "raise the limit of processes and threads (ulimit -u)",
}
_ALLOCATION = ("can't alloc", "bad_alloc", "cannot allocate memory", "can't start new thread")
"""How libraries tell of it in errors of their own."""


def raise_limits() -> None:
    """Take as many open files as this user may have: workers, their pipes and links need some hundred."""
    try:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ImportError, OSError, ValueError):
        return


def check_address_space() -> None:
    """Refuse to load networks where libraries would crash for want of address space.

    Raises:
        HemaError: the limit is too low.
    """
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        unlimited = limit == resource.RLIM_INFINITY
    except (ImportError, OSError):
        return
    if not unlimited and limit < LEAST_ADDRESS_SPACE:
        least = f"{LEAST_ADDRESS_SPACE >> 20:,} MiB"
        raise HemaError(
            f"address space is limited to {limit >> 20:,} MiB and {least} are needed",
            remedy="raise the limit (ulimit -v)",
            code="limits",
        )


def shortage(error: BaseException) -> str | None:
    """Say what was short and what to do; None where an error, and what led to it, is of another kind."""
    seen: BaseException | None = error
    while seen is not None:
        if (said := _shortage(seen)) is not None:
            return said
        seen = seen.__cause__ or seen.__context__
    return None


def _shortage(error: BaseException) -> str | None:
    if isinstance(error, MemoryError) or any(told in str(error).lower() for told in _ALLOCATION):
        return f"out of memory or threads ({_REMEDIES[errno.ENOMEM]})"
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        return f"{error.strerror} ({_REMEDIES[error.errno]})"
    return None
