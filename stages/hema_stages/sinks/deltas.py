"""Deltas: what changed, as JSON lines, for whoever follows a slide from a file."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson

from hema_stream.core.cells import CellTable, Kind
from hema_stream.core.crops import Labels
from hema_stream.core.delta import SlideDelta
from hema_stream.core.errors import OutputError
from hema_stream.flow import Caps, Policy, Sink, cpu, prop
from hema_stream.flow.bus import Progress

TYPES = {int(kind): kind.name.lower() for kind in Kind}


class Deltas(Sink):
    """Post each slide's running counts on the bus, and write every delta as a line where a file is named."""

    accepts = Caps("slide/delta")
    runs_on = cpu(threads=1)
    on_error = Policy.FAIL_PIPELINE

    location: Path = prop(Path(), doc="file for JSON lines; none is written where it is empty")

    def __init__(self, name: str = "", **properties: Any) -> None:
        super().__init__(name, **properties)
        self._file: IO[bytes] | None = None

    def start(self) -> None:
        """Open the file.

        Raises:
            OutputError: it cannot be written.
        """
        if self.location == Path():
            return
        try:
            self.location.parent.mkdir(parents=True, exist_ok=True)
            self._file = _opened(self.location)
        except BlockingIOError as error:
            remedy = "name another file, or wait for the run that writes it"
            raise OutputError("somebody else writes it", place=str(self.location), remedy=remedy) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(reason, place=str(self.location), remedy="choose another file") from error

    def stop(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def process(self, delta: SlideDelta, state: Any, pad: str = "sink") -> None:
        """Post counts and progress; write the line, whole and at once, for those who follow the file."""
        self.post(Progress(delta.slide, self.name, {"counts": delta.counts, "tiles": delta.progress}))
        if self._file is not None:
            self._file.write(orjson.dumps(line_of(delta)) + b"\n")
            self._file.flush()


def _opened(path: Path) -> IO[bytes]:
    """Open a file anew, for one writer alone; a pipe or a terminal as it is. BlockingIOError where it has one."""
    file = open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666), "wb")  # noqa: SIM115  the sink's to close
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise
        file.truncate(0)
    return file


def line_of(delta: SlideDelta) -> dict[str, Any]:
    """One delta as plain lists: columns, not a map a cell; types and classes by number and by name."""
    return {
        "slide": delta.slide,
        "seq": delta.seq,
        "added": _cells(delta.added),
        "retracted": delta.retracted.tolist(),
        "labelled": [_labels(part, delta.naming.taxonomy(part.stream).names) for part in delta.labelled],
        "counts": dict(delta.counts),
        "progress": dict(delta.progress),
    }


def _cells(cells: CellTable) -> dict[str, Any]:
    return {
        "keys": cells.keys.tolist(),
        "type": [TYPES[kind] for kind in cells.kind.tolist()],
        "kind": cells.kind.tolist(),
        "score": np.round(cells.score.astype(np.float64), 4).tolist(),
        "boxes": np.round(cells.boxes, 2).tolist(),
        "centroid": np.round(cells.centroid, 2).tolist(),
        "clump": cells.clump.tolist(),
        "priority": cells.priority.tolist(),
    }


def _labels(labels: Labels, names: Sequence[str]) -> dict[str, Any]:
    return {
        "stream": labels.stream,
        "keys": labels.keys.tolist(),
        "best": labels.best.tolist(),
        "classification": [names[best] for best in labels.best.tolist()],
        "confidence": np.round(labels.confidence.astype(np.float64), 4).tolist(),
        "unknown": labels.unknown.tolist(),
    }
