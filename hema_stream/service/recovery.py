"""Recovery: after a stop of any kind, what was under way is either finished or queued again, each image once."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import orjson
import structlog

from hema_stream.service.artefacts import report_digest
from hema_stream.service.jobs import JobStore, Origin, Status
from hema_stream.service.jobs.store import Ending

_log = structlog.get_logger(__name__)


def recover(
    store: JobStore,
    results: Path,
    attempts: int | None,
    origins: Collection[str] = tuple(Origin),
    known: Collection[str] = (),
) -> None:
    """Look at every job of some origins that is marked as running.

    One whose report is there had ended: reports appear whole and last. Another one is queued again, unless it has been
    begun ``attempts`` times and never ended, as an image that brings the service down would; None gives up none. A scan
    stays marked as running: its fields are gone through again, and its scanner may go on. Those whose end is ``known``
    and just being written down are left alone.
    """
    for job in store.running():
        if job.origin not in origins or job.id in known:
            continue
        report = results / job.id / "report.json"
        if report.is_file():
            store.end(job.id, _ending_of(report))
        elif attempts is not None and job.attempts >= attempts:
            store.end(job.id, Ending(Status.FAILED, "gave_up", f"begun {job.attempts} times and never ended"))
        elif job.origin == Origin.INGEST:
            store.begin_again(job.id)
        else:
            store.requeue(job.id)
        _log.info("recovered", job=job.id, reported=report.is_file(), attempts=job.attempts)


def _ending_of(report: Path) -> Ending:
    head: dict[str, Any] = orjson.loads(report.read_bytes())
    cancelled = any(lack["code"] == "tiles_cancelled" for lack in head["missing"])
    summary, tiles = head["summary"], head["quality_metrics"]["tiles"]
    counts = {
        "cells": summary["total_cells"],
        "rbc": summary["rbc_count"],
        "wbc": summary["wbc_count"],
        "platelet": summary["platelet_count"],
        **{f"rbc/{name}": share["count"] for name, share in head["rbc_analysis"]["distribution"].items()},
        **{f"wbc/{name}": count for name, count in head["wbc_differential"]["distribution"].items()},
        "rbc/unknown": head["rbc_analysis"]["unknown"],
        "wbc/unknown": head["wbc_differential"]["unknown"],
    }
    progress = {**tiles, "planned": sum(tiles.values())}
    status = Status.CANCELLED if cancelled else Status.DONE
    return Ending(status, counts=counts, progress=progress, sha256=report_digest(report.parent))
