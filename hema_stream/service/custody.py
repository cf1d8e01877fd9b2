"""Custody: what lies in the data folder is what the database knows; else nothing is begun and nothing removed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import structlog

from hema_stream.core.errors import HemaError
from hema_stream.core.scan_folder import DECLARATION
from hema_stream.service.artefacts import REPORT
from hema_stream.service.jobs import JobStore
from hema_stream.service.settings import ServiceSettings

ID = re.compile(r"[0-9a-z]{8,40}")
UPLOADED = re.compile(r"[0-9a-f]{16}(\.[0-9a-z]{1,8})?")
_log = structlog.get_logger(__name__)


class CustodyError(HemaError):
    """The database is not the one that belongs to the data; ``place`` names their folder."""

    code = "unknown_data"


def check_custody(store: JobStore, settings: ServiceSettings) -> None:
    """Look, before anything is begun, whether every slide in the folder is one of the database's.

    What a deletion left when it was interrupted is removed: the database knows that it was deleted.

    Raises:
        CustodyError: it is another, an empty or an older database.
    """
    there = dict(_slides(settings))
    known, deleted = store.known(), store.deleted()
    strange = sorted(set(there) - known - deleted)
    if strange:
        count = f"{len(strange)} slide{'s' * (len(strange) > 1)}"
        raise CustodyError(
            f"{count} of which the database knows nothing, such as {there[strange[0]]}: it is another, an empty or an "
            "older one",
            place=str(settings.data),
            remedy="start with the database that belongs to these data, or move results, uploads and scans elsewhere",
        )
    for slide in set(there) & deleted:
        remove_data(slide, settings)
        _log.info("deletion finished", job=slide)


def remove_data(slide: str, settings: ServiceSettings) -> None:
    """Remove results, upload and scan of a slide that was deleted; an image given by path is none of them.

    Raises:
        OSError: something cannot be removed.
    """
    for folder in (settings.results / slide, settings.scans / slide):
        if folder.is_dir():
            shutil.rmtree(folder)
    for path in settings.uploads.glob(f"{slide}*"):
        if path.stem == slide:
            path.unlink(missing_ok=True)


def _slides(settings: ServiceSettings) -> Iterator[tuple[str, Path]]:
    """Slides of which something lies there that would be missed, with its place."""
    for folder, mark in ((settings.results, REPORT), (settings.scans, DECLARATION)):
        for place in folder.iterdir():
            if ID.fullmatch(place.name) and (place / mark).is_file():
                yield place.name, place
    for path in settings.uploads.iterdir():
        if UPLOADED.fullmatch(path.name) and path.stat().st_size:
            yield path.stem, path
