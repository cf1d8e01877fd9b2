"""Figures of a status in words, for the page and for plain text alike."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

ENDINGS = ("analysed", "background", "rejected", "gap", "cancelled")
WAITING = ("uploading", "queued", "running")
OVER = ("done", "rejected", "failed", "cancelled")


def lasting(seconds: float) -> str:
    """A length of time in its two largest units."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for unit, size, below, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}{f' {rest} {below}' if rest else ''}"
    return f"{whole} s"


def room(size: float) -> str:
    """A size of a disk."""
    gib = size / 2**30
    return f"{gib / 1024:.2f} TiB" if gib >= 1024 else f"{gib:.1f} GiB"


def tiles(slide: Mapping[str, Any]) -> tuple[int, int]:
    """Tiles that have ended, and that are planned."""
    progress = slide["progress"]
    return sum(progress.get(name, 0) for name in ENDINGS), progress.get("planned", 0)


def white_cells(slide: Mapping[str, Any]) -> dict[str, int]:
    """White cells by class, without unknown ones."""
    named = {name.removeprefix("wbc/"): count for name, count in slide["counts"].items() if name.startswith("wbc/")}
    return {name: count for name, count in named.items() if name != "unknown"}


def counted(slide: Mapping[str, Any]) -> str:
    """Cells by kind."""
    counts = slide["counts"]
    kinds = (("rbc", "red"), ("wbc", "white"), ("platelet", "platelets"))
    return "  ".join(f"{counts.get(kind, 0):,} {name}" for kind, name in kinds) if counts else ""


def seconds_between(first: str | None, last: str | None) -> float | None:
    """Seconds from one time to another, both ISO 8601; None where one is missing."""
    if first is None or last is None:
        return None
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def reason(slide: Mapping[str, Any]) -> str:
    """Why a slide was not analysed; empty where it was."""
    return slide["message"] or slide["code"] or ""
