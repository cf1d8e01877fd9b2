"""Pictures of one cell each: the rows of a labelled table, or of a folder."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hema_stream.core.slide import InputImage

PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")


def labelled(labels: Path, split: str | None, sources: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a CSV with a column path, relative to it; each gets ``file``.

    Args:
        split, sources: only rows of these; a table without the column has none.
    """
    with labels.open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if not split or row.get("split") == split]
    rows = [row for row in rows if not sources or row.get("source") in sources]
    return [{**row, "file": labels.parent / row["path"]} for row in rows]


def pictures(folder: Path) -> list[dict[str, Any]]:
    """A row for each picture below a folder."""
    from hema_stages.folders import is_clutter

    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES and not is_clutter(p))
    return [{"path": str(path.relative_to(folder)), "file": path} for path in files]


def inputs_of(rows: Sequence[dict[str, Any]], mpp: float | None) -> list[InputImage]:
    """Rows as a pipeline takes them, named by their place; ``mpp`` is stronger than a row's own."""
    return [InputImage(str(n), row["file"], mpp or _scale(row.get("mpp"))) for n, row in enumerate(rows)]


def _scale(text: str | None) -> float | None:
    return float(text) if text else None
