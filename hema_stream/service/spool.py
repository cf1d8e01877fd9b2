"""What a scanner has sent, on the disk: for looking at it, and for going on after the service was stopped."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hema_stream.core.field import Field, Scan
from hema_stream.core.scan_folder import (
    CLOSED,
    DECLARATION,
    KeptField,
    field_name,
    kept_fields,
    read_json,
    write_json,
)
from hema_stream.service.ingest import Opening


@dataclass(frozen=True)
class Kept:
    """A scan as it lies on the disk.

    Attributes:
        opening, owner: as it was opened; fields: what has arrived; taken: number of fields, once closed.
    """

    opening: Opening
    owner: str
    fields: tuple[KeptField, ...]
    taken: int | None


class Spool:
    """The folder of one scan. Calls wait for the disk: make them from a thread.

    Args:
        spare: bytes that the disk must keep free.
    """

    def __init__(self, folder: Path, spare: int) -> None:
        self.folder, self._spare = folder, spare

    def begin(self, opening: Opening, owner: str, scan: Scan) -> None:
        """Write down what was declared.

        Raises:
            OSError: the disk is full, or cannot be written.
        """
        self._check_room(0)
        self.folder.mkdir(parents=True)
        corner = {"corner": list(scan.corner), "width": scan.width, "height": scan.height}
        write_json(self.folder, DECLARATION, {**corner, "owner": owner, "opening": opening.model_dump(mode="json")})

    def keep(self, field: Field, scan: Scan) -> None:
        """Keep a field at its nominal place; it appears whole or not at all.

        Raises:
            OSError: as ``begin``.
        """
        self._check_room(len(field.data))
        x, y = scan.place(field.index, field.x, field.y)
        path = self.folder / field_name(field.index, x, y, field.encoding)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(field.data)
        partial.replace(path)

    def close(self, taken: int) -> None:
        """Write down that nothing more comes."""
        write_json(self.folder, CLOSED, {"taken": taken})

    def read(self) -> Kept | None:
        """What lies there; None where it is no scan that can be gone on with."""
        declared = read_json(self.folder, DECLARATION)
        if declared is None:
            return None
        closed = read_json(self.folder, CLOSED)
        opening = Opening.model_validate(declared["opening"])
        taken = None if closed is None else int(closed["taken"])
        return Kept(opening, str(declared["owner"]), tuple(kept_fields(self.folder)), taken)

    def _check_room(self, size: int) -> None:
        there = next(parent for parent in (self.folder, *self.folder.parents) if parent.exists())
        if shutil.disk_usage(there).free - size < self._spare:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))


def replayed(fields: tuple[KeptField, ...]) -> Iterator[Field]:
    """Read kept fields again, one at a time."""
    for kept in fields:
        yield Field(kept.index, kept.x, kept.y, kept.encoding, kept.path.read_bytes())
