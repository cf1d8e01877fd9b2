"""Submitting an image: where it may lie, what it is called, and the job that is made of it."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from hema_stream.core.errors import InputCode, InputError
from hema_stream.service.jobs import Job, Origin, Status
from hema_stream.service.settings import ServiceSettings

LONGEST_NAME = 200
FIRST = {
    Origin.PATH: Status.QUEUED,
    Origin.FOLDER: Status.QUEUED,
    Origin.UPLOAD: Status.UPLOADING,
    Origin.INGEST: Status.RUNNING,
}
"""Where a job of each origin begins: what a scanner sends never waits in the queue."""


def contained(path: Path, roots: Sequence[Path]) -> Path:
    """Resolve a path, symbolic links and all, to a regular file within one of the roots.

    Raises:
        InputError: it lies outside them or is no file; which of the two is not told.
    """
    try:
        real = path.resolve(strict=True)
        allowed = [root.resolve(strict=True) for root in roots]
    except (OSError, RuntimeError, ValueError) as error:
        raise _refused() from error
    if not any(real.is_relative_to(root) for root in allowed) or not real.is_file():
        raise _refused()
    return real


def read_from(job: Job, settings: ServiceSettings) -> Path:
    """Where a job's image is read from: what its path names now, which may have changed since it was submitted.

    Raises:
        InputError: as ``contained``.
    """
    path, origin = Path(job.path), Origin(job.origin)
    if origin == Origin.INGEST:
        return path
    roots = {Origin.PATH: settings.roots, Origin.UPLOAD: (settings.uploads,), Origin.FOLDER: settings.folders}
    return contained(path, roots[origin])


def located(name: str, roots: Sequence[Path]) -> Path:
    """Find what a submitter names: an absolute path, or one relative to a root.

    Raises:
        InputError: as ``contained``.
    """
    for root in roots:
        try:
            return contained(root / name, roots)
        except InputError:
            continue
    raise _refused()


def new_job(
    name: str, path: Path, origin: Origin, *, mpp: float | None, priority: int, length: int | None = None
) -> Job:
    """Make a job; its id is random, so that it says nothing of the file and cannot be guessed."""
    return Job(
        id=secrets.token_hex(8),
        name=shown_name(name),
        path=str(path),
        origin=origin,
        mpp=mpp,
        priority=priority,
        status=FIRST[origin],
        length=length,
        submitted=datetime.now(UTC),
    )


def shown_name(name: str) -> str:
    """A name to show: the last part of a path, without what no name needs; never used to open anything."""
    last = re.split(r"[/\\]", name)[-1]
    composed = unicodedata.normalize("NFC", last.encode(errors="replace").decode())
    printable = "".join(character for character in composed if character.isprintable())
    return printable.strip()[:LONGEST_NAME] or "image"


def safe_suffix(name: str) -> str:
    """The ending of an uploaded file's name, by which some formats are told; empty where it is not plain."""
    found = re.search(r"\.[A-Za-z0-9]{1,8}\Z", name)
    return found.group().lower() if found else ""


def _refused() -> InputError:
    return InputError(
        "no such image in the folders that this service may read",
        remedy="check the path; the service is started with the folders it may read",
        code=InputCode.NOT_FOUND,
    )
