"""Claiming slides of a folder by renaming them, and what becomes of them. All calls wait for the disk."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from hema_stream.core.errors import HemaError
from hema_stream.service.watch.rules import WatchRules
from hema_stream.service.watch.stability import Signature

CLAIMED, DONE, QUARANTINE = ".claimed", "done", "quarantine"
REASON = ".reason.json"
LONGEST = 255
"""Bytes of a file's name."""
NUMBER = re.compile(r"[0-9]{1,9}")
_log = structlog.get_logger(__name__)


class WatchError(HemaError):
    """A folder that cannot be watched; ``place`` names it."""

    code = "watch"


@dataclass(frozen=True)
class Found:
    """A slide that lies in the folder: its name, its size in bytes, and what changes while it is written."""

    name: str
    size: int
    signature: Signature
    regular: bool


@dataclass(frozen=True)
class Claimed:
    """A slide that is nobody else's; it lies at ``path`` until ``done``, ``failed`` or ``put_back`` is called.

    Attributes:
        name: as the scanner called it; attempt: how often it was begun, from 1.
    """

    claims: Claims
    path: Path
    attempt: int

    @property
    def key(self) -> str:
        """Made with the claim at random, the same over all attempts: its folder's name before the count."""
        return self.path.parent.name.partition(".")[0]

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    async def done(self) -> Path | None:
        """It was analysed; where it lies now, None where it was deleted."""
        return await asyncio.to_thread(self.claims.finish, self)

    async def failed(self, code: str, reason: str) -> Path:
        """It cannot be analysed; where it lies in quarantine, with its reason beside it."""
        return await asyncio.to_thread(self.claims.quarantine, self, code, reason)

    async def put_back(self) -> Path:
        """It was not begun after all, as when the daemon stops; where it lies again."""
        return await asyncio.to_thread(self.claims.put_back, self)


class Claims:
    """The folders of one watched folder: ``.claimed``, ``done`` and ``quarantine`` within it."""

    def __init__(self, folder: Path, rules: WatchRules) -> None:
        self.folder, self.rules = folder, rules

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            WatchError: the folder is missing, is none, or may not be written.
        """
        if not self.folder.is_dir():
            raise WatchError("is no folder", place=str(self.folder), remedy="make it, or name another one")
        try:
            for name in (CLAIMED, DONE, QUARANTINE):
                (self.folder / name).mkdir(exist_ok=True)
        except OSError as error:
            remedy = "let the service's user write there"
            raise WatchError(error.strerror or str(error), place=str(self.folder), remedy=remedy) from error

    def try_out(self) -> None:
        """Do with a file of its own what is done with slides: put there, claimed, done, quarantined, removed.

        Raises:
            WatchError, OSError: one of these cannot be done here.
        """
        self.prepare()
        place = self.folder / f".{secrets.token_hex(6)}.partial"
        try:
            place.touch()
            for name in (CLAIMED, DONE, QUARANTINE):
                target = self.folder / name / place.name
                move(place, target)
                place = target
        finally:
            place.unlink(missing_ok=True)

    def look(self) -> list[Found]:
        """Slides that lie in the folder, oldest first; links are not followed."""
        found = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if self.rules.is_slide(entry.name):
                    try:
                        found.append(self._found(entry))
                    except OSError as error:  # taken away in the meantime, or not to be looked at: it harms no other
                        if not isinstance(error, FileNotFoundError):
                            _log.warning("passed over", file=shown(entry.path), error=str(error))
        return sorted(found, key=lambda f: (f.signature[1], f.name))

    def claim(self, name: str) -> Claimed | None:
        """Take a slide by renaming it, which succeeds for one claimer alone; None where somebody else was quicker.

        Raises:
            OSError: it cannot be moved; it lies where it was.
        """
        place = self.folder / CLAIMED / f"{secrets.token_hex(6)}.1"
        place.mkdir()
        companion = self._companion(name)
        try:
            move(self.folder / name, place / name)
            if companion is not None and companion.is_dir() and not companion.is_symlink():
                move(companion, place / companion.name)
        except OSError as error:
            if (place / name).exists():  # its companion could not be moved: neither is
                move(place / name, self.folder / name)
            place.rmdir()
            if isinstance(error, FileNotFoundError):
                return None
            raise
        return Claimed(self, place / name, 1)

    def left_behind(self) -> Iterator[Claimed]:
        """Slides that an earlier run had claimed and did not end; those that never end go to quarantine."""
        for place in sorted((self.folder / CLAIMED).iterdir()):
            try:
                claimed = self._again(place)
            except OSError as error:  # one that cannot be moved costs no other
                _log.error("cannot be claimed again", place=shown(place), error=str(error))
                continue
            if claimed is not None:
                yield claimed

    def _again(self, place: Path) -> Claimed | None:
        """A slide of an earlier run; None where there is none, or where it was given up."""
        head, _, attempt = place.name.partition(".")
        names = [p.name for p in place.iterdir() if self.rules.is_slide(p.name)] if place.is_dir() else []
        if not names or not NUMBER.fullmatch(attempt):
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()
            return None
        again = place.rename(place.with_name(f"{head}.{int(attempt) + 1}"))
        claimed = Claimed(self, again / names[0], int(attempt) + 1)
        if claimed.attempt > self.rules.attempts:
            self.quarantine(claimed, "gave_up", f"begun {attempt} times and never ended")
            return None
        return claimed

    def finish(self, claimed: Claimed) -> Path | None:
        """Keep a slide that is done, or delete it, as the rules say."""
        if self.rules.keep:
            return self._move(claimed, DONE)
        shutil.rmtree(claimed.path.parent)
        return None

    def put_back(self, claimed: Claimed) -> Path:
        """Lay a slide back where it was."""
        return self._move(claimed, "")

    def quarantine(self, claimed: Claimed, code: str, reason: str) -> Path:
        """Move a slide away with its reason in a file beside it, which is there first."""
        target = self._free(self.folder / QUARANTINE, claimed.name)
        note = {
            "name": shown(claimed.name),
            "code": code,
            "reason": reason,
            "attempts": claimed.attempt,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        path = _reason(target)
        partial = path.with_name(f".{secrets.token_hex(6)}.partial")
        partial.write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
        return self._move(claimed, QUARANTINE, target)

    def _found(self, entry: os.DirEntry[str]) -> Found:
        info = entry.stat(follow_symlinks=False)
        signature: Signature = (info.st_size, info.st_mtime_ns, info.st_ino)
        size, companion = info.st_size, self._companion(entry.name)
        if companion is not None and companion.is_dir():
            parts = [part.lstat() for part in sorted(companion.iterdir())]
            size += sum(part.st_size for part in parts)
            signature += tuple(value for part in parts for value in (part.st_size, part.st_mtime_ns))
        return Found(entry.name, size, signature, stat.S_ISREG(info.st_mode))

    def _companion(self, name: str) -> Path | None:
        path = self.folder / name
        return path.with_suffix("") if name.lower().endswith(self.rules.companions) else None

    def _move(self, claimed: Claimed, folder: str, target: Path | None = None) -> Path:
        target = target or self._free(self.folder / folder, claimed.name)
        companion = claimed.path.with_suffix("")
        if companion.is_dir() and companion != claimed.path:
            move(companion, target.with_suffix(""))
        move(claimed.path, target)
        shutil.rmtree(claimed.path.parent, ignore_errors=True)
        return target

    def _free(self, folder: Path, name: str) -> Path:
        """A name that nothing has yet, so that nothing is written over."""
        target = folder / name
        while os.path.lexists(target) or _reason(target).exists():
            suffix = f"-{secrets.token_hex(3)}{Path(name).suffix}"
            target = folder / f"{_cut(Path(name).stem, LONGEST - len(os.fsencode(suffix)) - len(REASON))}{suffix}"
        return target


def move(path: Path, target: Path) -> None:
    """Move a file or folder; to another file system by a copy that is whole and on the disk before the original goes.

    Raises:
        OSError: it cannot be moved; it lies where it was.
    """
    try:
        path.rename(target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    partial = target.with_name(f".{secrets.token_hex(6)}.partial")
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, partial, symlinks=True)
        else:
            shutil.copy2(path, partial, follow_symlinks=False)
        for copied in (partial, *partial.rglob("*")):
            if copied.is_file() and not copied.is_symlink():
                _sync(copied)
        partial.rename(target)
        _sync(target.parent)
    except OSError:
        _removed(partial)
        raise
    _removed(path)


def shown(path: Path | str) -> str:
    """A name that may be no UTF-8, as it can be logged and written."""
    return os.fsencode(path).decode(errors="replace")


def _reason(target: Path) -> Path:
    """The file of a quarantined slide's reason, whose name is no longer than names may be."""
    return target.with_name(f"{_cut(target.name, LONGEST - len(REASON))}{REASON}")


def _cut(name: str, most: int) -> str:
    """A name of at most so many bytes."""
    return os.fsdecode(os.fsencode(name)[:most])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _removed(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
