"""The log of what runs for long: a line of JSON an event, on stderr or in a file."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

PRIORITIES = {"critical": 2, "error": 3, "exception": 3, "warning": 4, "info": 6, "debug": 7}
"""Of syslog; the journal reads them as ``<n>`` before a line."""


def log_as_json(level: str = "info", file: Path | None = None) -> None:
    """Log events of a level and above; tracebacks come without the values of variables, which may be secrets.

    Args:
        file: takes the lines instead of stderr, after those that are in it.
    """
    import logging

    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            _for_journal if file is None and in_journal() else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr if file is None else file.open("a", buffering=1)),
    )


def in_journal() -> bool:
    """Whether stderr goes to systemd's journal: it says so by device and inode (systemd.exec(5))."""
    try:
        stream = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"


def _for_journal(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    """JSON behind a priority, so that ``journalctl -p warning`` finds it."""
    import structlog

    line = structlog.processors.JSONRenderer()(logger, method, event)
    return f"<{PRIORITIES.get(str(event.get('level', method)), 6)}>{line!s}"
