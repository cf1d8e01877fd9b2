"""What a scanner has sent, on the disk: for looking at it, and for going on after the service was stopped.

Besides a file a field there is a journal: a line of JSON for each field that was kept, with its size and checksum, and
for each watermark. What the journal names and the folder does not hold as it was is not counted as received.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import structlog

from hema_stream.core.field import Box, Field, FieldsPassed, Scan
from hema_stream.core.scan_folder import (
    CLOSED,
    DECLARATION,
    KeptField,
    field_name,
    kept_fields,
    read_json,
    write_json,
)
from hema_stream.service.ingest import Durability, Opening
from hema_stream.service.uploads import sync_folder

JOURNAL = "journal.jsonl"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Kept:
    """A scan as it lies on the disk.

    Attributes:
        opening, owner: as it was opened; fields: what has arrived; taken: number of fields, once closed.
        watermark, sealed: as the scanner said last, as far as no field under them has to come again.
    """

    opening: Opening
    owner: str
    fields: tuple[KeptField, ...]
    taken: int | None
    watermark: int = -1
    sealed: tuple[Box, ...] = ()


class Spool:
    """The folder of one scan. Calls wait for the disk: make them from a thread.

    Args:
        spare: bytes that the disk must keep free.
        durability: ``group`` brings what is kept together onto the disk before it is acknowledged, so that a loss of
            power takes nothing; ``none`` leaves that to the system.
    """

    def __init__(self, folder: Path, spare: int, durability: Durability = "group") -> None:
        self.folder, self._spare, self._durable = folder, spare, durability == "group"

    def begin(self, opening: Opening, owner: str, scan: Scan) -> None:
        """Write down what was declared.

        Raises:
            OSError: the disk is full, or cannot be written.
        """
        self._check_room(0)
        self.folder.mkdir(parents=True)
        corner = {"corner": list(scan.corner), "width": scan.width, "height": scan.height}
        write_json(self.folder, DECLARATION, {**corner, "owner": owner, "opening": opening.model_dump(mode="json")})
        (self.folder / JOURNAL).touch()
        if self._durable:
            _sync(self.folder / DECLARATION)
            sync_folder(self.folder)
            sync_folder(self.folder.parent)

    def keep(self, group: Sequence[Field | FieldsPassed], scan: Scan) -> Mapping[int, OSError]:
        """Keep fields at their nominal places, and watermarks: each is there whole or not at all.

        Returns:
            Fields that the disk did not take, by number, and why.

        Raises:
            OSError: the journal cannot be written, so that nothing of the group counts.
        """
        lines, failed = [], {}
        for order in group:
            if isinstance(order, Field):
                try:
                    lines.append(self._put(order, scan))
                except OSError as error:
                    failed[order.index] = error
            else:
                lines.append({"watermark": order.through, "sealed": order.sealed})
        if lines:
            self._note(lines)
        return failed

    def close(self, taken: int) -> None:
        """Write down that nothing more comes."""
        write_json(self.folder, CLOSED, {"taken": taken})
        if self._durable:
            _sync(self.folder / CLOSED)
            sync_folder(self.folder)

    def read(self) -> Kept | None:
        """What lies there; None where it is no scan that can be gone on with.

        A field that is not as it was kept is removed: its scanner is asked for it again, and a scan that was closed is
        open until it has come.

        Raises:
            ValueError: what was declared cannot be read.
        """
        declared = read_json(self.folder, DECLARATION)
        if declared is None:
            return None
        opening, owner = Opening.model_validate(declared["opening"]), str(declared["owner"])
        noted = list(self._journal())
        whole, torn = self._checked(noted)
        taken = None if torn else self._taken()
        marks = [line for line in noted if "watermark" in line]
        watermark = max((int(line["watermark"]) for line in marks), default=-1)
        sealed = tuple(tuple(line["sealed"]) for line in marks if line["sealed"])
        if torn:
            _log.warning("fields are asked for again", folder=str(self.folder), fields=sorted(torn))
            watermark, sealed = min(watermark, min(torn) - 1), ()
        return Kept(opening, owner, tuple(whole), taken, watermark, sealed)

    def _put(self, field: Field, scan: Scan) -> dict[str, Any]:
        """Write a field's file; its line in the journal."""
        self._check_room(len(field.data))
        x, y = scan.place(field.index, field.x, field.y)
        path = self.folder / field_name(field.index, x, y, field.encoding)
        partial = path.with_name(f".{path.name}.partial")
        try:
            with partial.open("wb", buffering=0) as file:
                file.write(field.data)
                if self._durable:
                    os.fdatasync(file.fileno())
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        return {"field": field.index, "size": len(field.data), "crc32": zlib.crc32(field.data)}

    def _note(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines to the journal; with them the group counts."""
        if self._durable:
            sync_folder(self.folder)
        text = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        with (self.folder / JOURNAL).open("r+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            text = b"\n" + text if self._torn_tail(file, end) else text
            try:
                if file.write(text) != len(text):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))
                if self._durable:
                    os.fdatasync(file.fileno())
            except OSError:
                file.truncate(end)
                raise

    def _torn_tail(self, file: IO[bytes], end: int) -> bool:
        """Whether the last line has no end, as a loss of power leaves it: the next must not be joined to it."""
        if not end:
            return False
        file.seek(end - 1)
        return file.read(1) != b"\n"

    def _journal(self) -> Iterator[dict[str, Any]]:
        """Lines of the journal; a torn one was not acknowledged."""
        try:
            lines = (self.folder / JOURNAL).read_bytes().splitlines()
        except FileNotFoundError:  # begun by an earlier version: what lies there counts
            for field in kept_fields(self.folder):
                data = field.path.read_bytes()
                yield {"field": field.index, "size": max(len(data), 1), "crc32": zlib.crc32(data)}
            return
        for line in lines:
            try:
                document = json.loads(line)
            except ValueError:
                continue
            if isinstance(document, dict):
                yield document

    def _checked(self, noted: Sequence[Mapping[str, Any]]) -> tuple[list[KeptField], set[int]]:
        """Fields that are as they were kept, and numbers of those that were and are not; what else lies there goes."""
        sums = {int(line["field"]): (line["size"], line["crc32"]) for line in noted if "field" in line}
        whole = []
        for field in kept_fields(self.folder):
            data = field.path.read_bytes()
            if sums.get(field.index) == (len(data), zlib.crc32(data)):
                whole.append(field)
            else:
                field.path.unlink()
        return whole, set(sums) - {field.index for field in whole}

    def _taken(self) -> int | None:
        """Number of fields of a scan that was closed; one whose note is torn is open."""
        try:
            closed = read_json(self.folder, CLOSED)
            return None if closed is None else int(closed["taken"])
        except (ValueError, KeyError, TypeError):
            _log.warning("a torn note of a scan's close", folder=str(self.folder))
            return None

    def _check_room(self, size: int) -> None:
        there = next(parent for parent in (self.folder, *self.folder.parents) if parent.exists())
        if shutil.disk_usage(there).free - size < self._spare:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))


def replayed(fields: tuple[KeptField, ...]) -> Iterator[Field]:
    """Read kept fields again, one at a time."""
    for kept in fields:
        yield Field(kept.index, kept.x, kept.y, kept.encoding, kept.path.read_bytes())


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
