"""Source: the images that were asked for, a slide each."""

from __future__ import annotations

import asyncio
import glob
import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hema_stages.folders import Found, is_clutter, joined, slides_in
from hema_stream.core.errors import InputCode, InputError
from hema_stream.core.slide import InputImage
from hema_stream.core.units import MOST_MPP
from hema_stream.flow import Buffer, Caps, CapsEvent, Eos, Event, Source, StreamStart, prop
from hema_stream.flow.bus import ErrorMessage

LONGEST_ID = 180
"""Bytes of an id; a file system's limit for a folder's name is 255, and artefacts are written beside it."""


class FileSource(Source):
    """Open one slide an image, a few at a time.

    ``location`` names files, folders or patterns, separated by ``|``; a program may set ``inputs`` instead. What
    ``location`` names in vain is told on the bus and kept in ``rejected``; the others go on.

    Raises:
        InputError: nothing that ``location`` names can be opened.
    """

    produces = Caps("image/input")

    location: str = prop("", doc="file, folder or pattern; several separated by |")
    mpp: float = prop(0.0, doc="scale of every image; 0 takes the file's own", unit="um/px", ge=0.0, le=MOST_MPP)
    max_open: int = prop(12, doc="slides under way at a time", ge=1)

    def __init__(self, name: str = "", **properties: Any) -> None:
        super().__init__(name, **properties)
        self.inputs: list[InputImage] = []
        self.rejected: list[InputError] = []

    async def stream(self) -> AsyncIterator[Event]:
        """Yield each image as a slide of one buffer; the runtime opens ``max_open`` at a time."""
        for image in [*self.inputs, *self._located()]:
            yield StreamStart(image.id)
            yield CapsEvent(image.id, Caps("image/input"))
            yield Buffer(image.id, image)
            yield Eos(image.id)
            await asyncio.sleep(0)

    def _located(self) -> list[InputImage]:
        if not self.location:
            return []
        found, self.rejected = find_inputs(self.location.split("|"), self.mpp or None)
        if self.rejected and not found and not self.inputs:
            raise self.rejected[0]
        for error in self.rejected:
            self.post(ErrorMessage("", error, self.name))
        return found


def find_inputs(patterns: Iterable[str], mpp: float | None) -> tuple[list[InputImage], list[InputError]]:
    """Find the images that files, folders and patterns name.

    Args:
        patterns: files, folders (their images, not those of folders within), or glob patterns; ``**`` goes deep. A
            slide of several files is one image; where one of them names the others, all must be named, or their folder.
        mpp: microns a pixel told by the caller for all of them, or None.

    Returns:
        The images, each once, with ids that name their result folders: the file's stem, and a short hash of the path
        where two clash; and an error for each that cannot be opened or is a picture of a kind that is not read.
    """
    slides: dict[str, Found] = {}
    errors: list[InputError] = []
    for pattern in patterns:
        try:
            found, unread = _expand(pattern)
        except (InputError, OSError, ValueError) as error:
            errors.append(error if isinstance(error, InputError) else _unusable(Path(pattern), error))
            continue
        errors += unread
        for slide in found:
            slides.setdefault(os.path.abspath(slide.path), slide)
    readable: list[Found] = []
    for slide in joined(slides.values()):
        try:
            check_file(slide.path)
            readable.append(slide)
        except InputError as error:
            errors.append(error)
    parts = {slide.path: slide.parts for slide in readable}
    images = name_inputs([slide.path for slide in readable], mpp)
    return [replace(image, parts=parts[image.path]) for image in images], errors


def check_file(path: Path) -> None:
    """Raise InputError where a file is missing, is none, or may not be read by this user."""
    try:
        present, regular = path.exists(), path.is_file()
    except PermissionError as error:
        raise _forbidden(path) from error
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from error
    if not present:
        raise InputError("no such file", place=str(path), remedy="check the path", code=InputCode.NOT_FOUND)
    if not os.access(path, os.R_OK):
        raise _forbidden(path)
    if not regular:
        raise InputError("not a file", place=str(path), remedy="name a file", code=InputCode.UNSUPPORTED_FORMAT)


def name_inputs(paths: Sequence[Path], mpp: float | None) -> list[InputImage]:
    """Give each path an id that no other has, whether or not the file system tells cases apart."""
    stems = [safe_stem(path) for path in paths]
    count = Counter(stem.casefold() for stem in stems)
    return [
        InputImage(stem if count[stem.casefold()] == 1 else f"{stem}-{_short_hash(path)}", path, mpp)
        for stem, path in zip(stems, paths, strict=True)
    ]


def safe_stem(path: Path) -> str:
    """A file's stem as a folder's name: composed letters of any script and spaces stay, what no name may hold goes."""
    composed = unicodedata.normalize("NFC", path.stem)
    allowed = re.sub(r'[\x00-\x1f\x7f\ud800-\udfff<>:"/\\|?*]', "_", composed)
    short = allowed.encode()[:LONGEST_ID].decode(errors="ignore")
    return short.strip(" .") or "image"


def _short_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:8]


def _expand(pattern: str) -> tuple[list[Found], list[InputError]]:
    path = Path(pattern)
    if _is_folder(path):
        return _folder(path)
    if os.path.lexists(path) or not glob.has_magic(pattern):
        return [Found(path)], []
    matches = [match for match in sorted(glob.glob(pattern, recursive=True)) if not is_clutter(Path(match))]
    if not matches:
        raise InputError("no file matches", place=pattern, remedy="check the pattern", code=InputCode.NOT_FOUND)
    files = [match for match in map(Path, matches) if not _is_folder(match)]
    if files:
        return [Found(file) for file in files], []
    within = [_folder(Path(match)) for match in matches]
    return [slide for slides, _ in within for slide in slides], [error for _, unread in within for error in unread]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except PermissionError as error:
        raise _forbidden(path) from error


def _folder(path: Path) -> tuple[list[Found], list[InputError]]:
    if not os.access(path, os.R_OK | os.X_OK):
        raise _forbidden(path)
    slides, unread = slides_in(path)
    if not slides and not unread:
        remedy = "name another folder; of folders within, each, or PATH/**"
        raise InputError("holds no image", place=str(path), remedy=remedy, code=InputCode.EMPTY_FOLDER)
    return slides, unread


def _forbidden(path: Path) -> InputError:
    return InputError("may not be read", place=str(path), remedy="chmod +r, or +rx", code=InputCode.NO_PERMISSION)


def _unusable(path: Path, error: Exception) -> InputError:
    """A name that the file system does not take; others are not concerned."""
    what = getattr(error, "strerror", None) or "is no name of a file"
    return InputError(f"cannot be opened: {what}", place=str(path), remedy="rename it", code=InputCode.NOT_FOUND)
