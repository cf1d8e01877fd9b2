"""Source: the images that were asked for, a slide each."""

from __future__ import annotations

import asyncio
import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

from hema_stages.readers.probe import IMAGE_SUFFIXES
from hema_stream.core.errors import InputCode, InputError
from hema_stream.core.slide import InputImage
from hema_stream.flow import Buffer, Caps, CapsEvent, Eos, Event, Source, StreamStart, prop


class FileSource(Source):
    """Open one slide an image, a few at a time.

    ``location`` names files, folders or patterns, separated by ``|``; a program may set ``inputs`` instead.
    """

    produces = Caps("image/input")

    location: str = prop("", doc="file, folder or pattern; several separated by |")
    mpp: float = prop(0.0, doc="scale of every image; 0 takes the file's own", unit="um/px", ge=0.0)

    max_open: int = prop(12, doc="slides that are open at once", ge=1)

    def __init__(self, **properties: Any) -> None:
        super().__init__(**properties)
        self.inputs: list[InputImage] = []
        self.rejected: list[InputError] = []

    async def stream(self) -> AsyncIterator[Event]:
        """Yield each image as a slide of one buffer; downstream's room decides how far ahead it runs."""
        if self.location:
            found, self.rejected = find_inputs(self.location.split("|"), self.mpp or None)
            self.inputs = [*self.inputs, *found]
        for image in self.inputs:
            yield StreamStart(image.id)
            yield CapsEvent(image.id, Caps("image/input"))
            yield Buffer(image.id, image)
            yield Eos(image.id)
            await asyncio.sleep(0)


def find_inputs(patterns: Iterable[str], mpp: float | None) -> tuple[list[InputImage], list[InputError]]:
    """Find the images that files, folders and patterns name.

    Returns:
        The images, with ids that name their result folders: the file's stem, and a short hash of the path where two
        clash; and an error for each pattern that names nothing.
    """
    paths: dict[Path, None] = {}
    errors: list[InputError] = []
    for pattern in patterns:
        try:
            paths.update(dict.fromkeys(_expand(pattern)))
        except InputError as error:
            errors.append(error)
    return name_inputs(list(paths), mpp), errors


def name_inputs(paths: Sequence[Path], mpp: float | None) -> list[InputImage]:
    """Give each path an id that no other has."""
    stems = [safe_stem(path) for path in paths]
    count = Counter(stem.casefold() for stem in stems)
    return [
        InputImage(stem if count[stem.casefold()] == 1 else f"{stem}-{_short_hash(path)}", path, mpp)
        for stem, path in zip(stems, paths, strict=True)
    ]


def safe_stem(path: Path) -> str:
    """A file's stem without what a folder's name cannot hold; letters of any script and spaces stay."""
    return re.sub(r'[\x00-\x1f<>:"/\\|?*]', "_", path.stem).strip(" .") or "image"


def _short_hash(path: Path) -> str:
    return hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:6]


def _expand(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        return _folder(path)
    if path.exists() or not glob.has_magic(pattern):
        return [path]
    found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    if not found:
        raise InputError("no file matches", place=pattern, remedy="check the pattern", code=InputCode.NOT_FOUND)
    return [inner for match in found for inner in (_folder(match) if match.is_dir() else [match])]


def _folder(path: Path) -> list[Path]:
    if not os.access(path, os.R_OK | os.X_OK):
        raise InputError("no permission to read", place=str(path), remedy="chmod +rx", code=InputCode.NO_PERMISSION)
    images = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    if not images:
        raise InputError("holds no image", place=str(path), remedy="name another folder", code=InputCode.EMPTY_FOLDER)
    return images
