"""Analysing images: the smear pipeline from inputs to outcomes, with whoever watches told on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hema_stream.core.errors import InputError
from hema_stream.core.report import ReportHead
from hema_stream.core.slide import InputImage
from hema_stream.flow.bus import Message, Progress, SlideEnded
from hema_stream.flow.errors import StageError
from hema_stream.service.build import build_pipeline, identify_report


@dataclass(frozen=True)
class Options:
    """What an analysis is told besides its inputs."""

    out: Path
    profile: str = "cpu"
    settings: Sequence[str] = ()
    deltas: Path | None = None


@dataclass(frozen=True)
class Finished:
    """How one image ended: ``done``, ``rejected``, ``failed`` or ``cancelled``, with its report's head."""

    image: InputImage
    status: str
    head: ReportHead | None = None
    error: BaseException | None = None


class Observer(Protocol):
    """Whoever watches an analysis."""

    def progressed(self, slide: str, data: dict[str, Any]) -> None:
        """Running counts and tiles of a slide."""

    def finished(self, outcome: Finished) -> None:
        """One image has ended."""


@dataclass
class _Run:
    images: dict[str, InputImage]
    observer: Observer
    heads: dict[str, ReportHead] = field(default_factory=dict)
    outcomes: list[Finished] = field(default_factory=list)

    def take(self, message: Message) -> None:
        if isinstance(message, Progress) and isinstance(message.data, ReportHead):
            self.heads[message.slide] = message.data
        elif isinstance(message, Progress):
            self.observer.progressed(message.slide, message.data)
        elif isinstance(message, SlideEnded):
            self._end(message)

    def _end(self, message: SlideEnded) -> None:
        cause = message.error.cause if isinstance(message.error, StageError) else message.error
        status = "rejected" if isinstance(cause, InputError) else message.outcome
        outcome = Finished(self.images[message.slide], status, self.heads.get(message.slide), cause or message.error)
        self.outcomes.append(outcome)
        self.observer.finished(outcome)


async def analyze(
    images: Sequence[InputImage], options: Options, observer: Observer, cancel: asyncio.Event | None = None
) -> list[Finished]:
    """Analyse images; a bad one does not stop the others.

    Args:
        cancel: when it is set, slides under way are cancelled and their partial reports written.

    Raises:
        FlowError, HemaError: the pipeline as a whole cannot be built or has failed.
    """
    defaults: dict[str, dict[str, Any]] = {"report": {"out": options.out}}
    if options.deltas:
        defaults["deltas"] = {"location": options.deltas}
    pipeline = build_pipeline("smear", options.profile, options.settings, defaults)
    identify_report(pipeline, "smear", options.profile, options.settings)
    pipeline["source"].inputs = list(images)  # type: ignore[attr-defined]
    run = _Run({image.id: image for image in images}, observer)
    async with pipeline:
        reading = asyncio.create_task(_read(pipeline.bus, run))
        watching = asyncio.create_task(_cancel_when_set(pipeline, cancel)) if cancel else None
        try:
            await pipeline.drain()
        finally:
            if watching:
                watching.cancel()
            pipeline.bus.close()
            await reading
    return run.outcomes


async def _read(bus: Any, run: _Run) -> None:
    async for message in bus:
        run.take(message)


async def _cancel_when_set(pipeline: Any, cancel: asyncio.Event) -> None:
    await cancel.wait()
    pipeline.stop_sources()
    await pipeline.cancel_all()
