"""What a finished slide leaves in its folder of results."""

from __future__ import annotations

from hashlib import file_digest
from pathlib import Path

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
