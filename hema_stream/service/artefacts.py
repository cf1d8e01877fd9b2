"""What a finished slide leaves in its folder of results."""

from __future__ import annotations

from hashlib import file_digest
from pathlib import Path

from pydantic import ValidationError

from hema_stream.core.report import ReportHead

REPORT = "report.json"
MEDIA = {REPORT: "application/json", "overlay.png": "image/png", "cells.geojson": "application/geo+json"}
"""Artefacts that are handed out, and what they are; nothing else of the folder is."""


def report_url(slide: str) -> str:
    """Path of a slide's report on this server."""
    return f"/api/v1/slides/{slide}/report"


def report_digest(folder: Path) -> str | None:
    """SHA-256 of a slide's report.json; None where there is none."""
    path = folder / REPORT
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


LISTS = b',\n  "cell_detections": ['
"""What the head of report.json ends before; the lists of cells may be hundreds of megabytes."""
CHUNK = 1 << 16


def report_head(folder: Path) -> ReportHead | None:
    """Read a slide's report but for its lists of cells; None where there is none, or one of an earlier version."""
    path, read = folder / REPORT, b""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        while LISTS not in read and (more := file.read(CHUNK)):
            read += more
    try:
        return ReportHead.model_validate_json(read.partition(LISTS)[0] + b"\n}")
    except ValidationError:
        return None
