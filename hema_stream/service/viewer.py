"""Deep zoom: pictures of a slide in tiles, read by the ``view`` stage in a worker process, and cached."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from math import ceil, log2
from typing import Any

from cachetools import LRUCache

from hema_stream.core.errors import InputError
from hema_stream.core.region import Region
from hema_stream.core.slide import Slide
from hema_stream.flow import Caps, FlowError, Registry
from hema_stream.flow.processes import ProcessExecutor
from hema_stream.service.settings import ViewerLimits

STAGE = "view"


class UnviewableError(Exception):
    """A slide that cannot be shown: it cannot be read, or it brought the reading worker down."""


@dataclass(frozen=True)
class DeepZoom:
    """A pyramid of halved pictures as the Deep Zoom format has it: level ``top`` is level 0 of the slide.

    Attributes:
        width, height: level-0 pixels; tile: side without overlap; overlap: pixels on each inner side.
    """

    width: int
    height: int
    tile: int
    overlap: int

    @property
    def top(self) -> int:
        """Number of the finest level; level 0 is a single pixel."""
        return ceil(log2(max(self.width, self.height, 1)))

    def size(self, level: int) -> tuple[int, int]:
        """Width and height of a level, pixels."""
        step = 2 ** (self.top - level)
        return ceil(self.width / step), ceil(self.height / step)

    def region(self, level: int, column: int, row: int) -> Region | None:
        """What a tile shows; None where there is no such tile."""
        if not 0 <= level <= self.top or column < 0 or row < 0:
            return None
        width, height = self.size(level)
        if column * self.tile >= width or row * self.tile >= height:
            return None
        x0, y0 = max(column * self.tile - self.overlap, 0), max(row * self.tile - self.overlap, 0)
        x1 = min((column + 1) * self.tile + self.overlap, width)
        y1 = min((row + 1) * self.tile + self.overlap, height)
        step = float(2 ** (self.top - level))
        return Region((x0 * step, y0 * step, x1 * step, y1 * step), (x1 - x0, y1 - y0))

    def descriptor(self) -> str:
        """The .dzi document."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f'<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="jpeg" Overlap="{self.overlap}" '
            f'TileSize="{self.tile}"><Size Width="{self.width}" Height="{self.height}"/></Image>'
        )


class Viewer:
    """Reads tiles, a few slides open at a time. A worker that dies or hangs costs its slide's pictures, no more."""

    def __init__(self, limits: ViewerLimits) -> None:
        self._limits = limits
        self._cache: LRUCache[tuple[str, Region], bytes] = LRUCache(limits.cache, getsizeof=len)
        self._executor: ProcessExecutor | None = None
        self._open: OrderedDict[str, Slide] = OrderedDict()
        self._broken: set[str] = set()
        self._deadline: float | None = None
        self._turn = asyncio.Lock()

    def pyramid(self, slide: Slide) -> DeepZoom:
        """The pyramid that a slide is shown as."""
        return DeepZoom(slide.width, slide.height, self._limits.tile, self._limits.overlap)

    async def read(self, slide: Slide, region: Region, keep: bool = True) -> bytes:
        """Read a region as JPEG.

        Args:
            keep: whether the picture may be shown again; not while a slide still grows.

        Raises:
            UnviewableError: the slide cannot be read.
        """
        cached = self._cache.get((slide.id, region)) if keep else None
        if cached is not None:
            return cached
        async with self._turn:
            picture = await self._read(slide, region)
        if keep and len(picture) <= self._limits.cache:
            self._cache[slide.id, region] = picture
        return picture

    async def forget(self, slide: str) -> None:
        """Close a slide and drop its pictures."""
        async with self._turn:
            await self._close_slide(slide)
        for key in [key for key in self._cache if key[0] == slide]:
            self._cache.pop(key, None)

    async def close(self) -> None:
        """End the worker."""
        async with self._turn:
            await self._reset()

    async def _read(self, slide: Slide, region: Region) -> bytes:
        if slide.id in self._broken:
            raise UnviewableError("this image cannot be shown: reading it failed")
        try:
            executor = await self._opened(slide)
            outputs: Any = await executor.call("process", slide.id, region, "sink", deadline=self._deadline)
        except (InputError, MemoryError) as error:
            raise UnviewableError(f"this image cannot be shown: {error}") from error
        except FlowError as error:
            self._broken.add(slide.id)
            await self._reset()
            raise UnviewableError("this image cannot be shown: reading it failed") from error
        picture: bytes = outputs.items[0]
        return picture

    async def _opened(self, slide: Slide) -> ProcessExecutor:
        """The worker, with the slide open in it."""
        if self._executor is None:
            stage = Registry().load(STAGE)(name=STAGE)
            self._deadline = stage.deadline
            self._executor = ProcessExecutor(stage, 1)
            await self._executor.open()
        if slide.id not in self._open:
            await self._executor.call("negotiate", slide.id, "sink", Caps("image/region", slide=slide))
            self._open[slide.id] = slide
            while len(self._open) > self._limits.open:
                await self._close_slide(next(iter(self._open)))
        self._open.move_to_end(slide.id)
        return self._executor

    async def _close_slide(self, slide: str) -> None:
        if self._open.pop(slide, None) is not None and self._executor is not None:
            await self._executor.release(slide)

    async def _reset(self) -> None:
        executor, self._executor = self._executor, None
        self._open.clear()
        if executor is not None:
            await executor.close()
