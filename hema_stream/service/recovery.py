"""Recovery: after a stop of any kind, what was under way is either finished or queued again, each image once."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import orjson
import structlog

from hema_stream.service.artefacts import REPORT, report_digest
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
        ending = _reported(results / job.id)
        if ending is not None:
            store.end(job.id, ending)
        elif attempts is not None and job.attempts >= attempts:
            store.end(job.id, Ending(Status.FAILED, "gave_up", f"begun {job.attempts} times and never ended"))
        elif job.origin == Origin.INGEST:
            store.begin_again(job.id)
        else:
            store.requeue(job.id)
        _log.info("recovered", job=job.id, reported=ending is not None, attempts=job.attempts)


def _reported(folder: Path) -> Ending | None:
    """How a job ended by its report; None where there is none that can be read.

    A damaged one, as a loss of power leaves it, is laid aside: its job is worked on again.
    """
    report = folder / REPORT
    if not report.is_file():
        return None
    try:
        return _ending_of(report)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        _log.error("damaged report laid aside", report=str(report), error=str(error))
        report.replace(report.with_name(f"{REPORT}.damaged"))
        return None


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
