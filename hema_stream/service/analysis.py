"""Analysing images: the smear pipeline from inputs to outcomes, with whoever watches told on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hema_stream.clinical.panel import load_panel
from hema_stream.core.errors import HemaError, InputCode, InputError
from hema_stream.core.messages import ReportWritten
from hema_stream.core.report import ReportHead
from hema_stream.core.slide import InputImage
from hema_stream.flow import Pipeline
from hema_stream.flow.bus import Bus, Message, Progress, SlideEnded
from hema_stream.flow.errors import DeadlineExceededError, StageError, WorkerDiedError
from hema_stream.service.build import build_pipeline, identify_report

OPENING = ("validate", "calibrate")
"""Stages that are the first to look at a file's pixels, each in a worker process that the file may take down."""


@dataclass(frozen=True)
class Options:
    """What an analysis is told besides its inputs; ``replace`` is whether reports that are there are written over."""

    out: Path
    profile: str = "cpu"
    settings: Sequence[str] = ()
    deltas: Path | None = None
    replace: bool = True


@dataclass(frozen=True)
class Standing:
    """Where a slide stands.

    Attributes:
        ended, planned: tiles that have ended, however, and all of them.
        cells: counted so far.
        white: classified white cells by class, those that stay out of the differential's denominator left out.
    """

    ended: int
    planned: int
    cells: int
    white: Mapping[str, int]


@dataclass(frozen=True)
class Finished:
    """How one image ended: ``done``, ``rejected``, ``failed`` or ``cancelled``, with its report's head."""

    image: InputImage
    status: str
    head: ReportHead | None = None
    error: BaseException | None = None


class Observer(Protocol):
    """Whoever watches an analysis."""

    def progressed(self, slide: str, standing: Standing) -> None:
        """Where a slide under way stands."""

    def finished(self, outcome: Finished) -> None:
        """One image has ended."""


@dataclass
class _Run:
    images: dict[str, InputImage]
    observer: Observer
    beside: tuple[str, ...]
    heads: dict[str, ReportHead] = field(default_factory=dict)
    outcomes: list[Finished] = field(default_factory=list)

    def take(self, message: Message) -> None:
        if isinstance(message, ReportWritten) and message.head:
            self.heads[message.slide] = message.head
        elif isinstance(message, Progress):
            self.observer.progressed(message.slide, standing_of(message.data, self.beside))
        elif isinstance(message, SlideEnded):
            self._end(message)

    def _end(self, message: SlideEnded) -> None:
        image = self.images[message.slide]
        cause = cause_of(message.error, image)
        status = "rejected" if isinstance(cause, InputError) else message.outcome
        self._note(Finished(image, status, self.heads.get(message.slide), cause))

    def note_unopened(self) -> None:
        """Images that were never opened are cancelled."""
        ended = {outcome.image.id for outcome in self.outcomes}
        for image in self.images.values():
            if image.id not in ended:
                self._note(Finished(image, "cancelled"))

    def _note(self, outcome: Finished) -> None:
        self.outcomes.append(outcome)
        self.observer.finished(outcome)


def standing_of(data: Mapping[str, Any], beside: Sequence[str]) -> Standing:
    """Turn the running counts that ``deltas`` posts into what a person follows.

    Args:
        beside: white cells that stay out of the differential's denominator.
    """
    tiles, counts = data["tiles"], data["counts"]
    outside = {"unknown", *beside}
    white = {name[4:]: n for name, n in counts.items() if name.startswith("wbc/") and name[4:] not in outside}
    ended = sum(n for name, n in tiles.items() if name != "planned")
    return Standing(ended, tiles["planned"], counts.get("cells", 0), white)


def cause_of(error: BaseException | None, image: InputImage) -> BaseException | None:
    """Say what ended an image: a file that takes down the worker that opens it is refused; a slow stage is no fault."""
    if not isinstance(error, StageError):
        return error
    if isinstance(error.cause, DeadlineExceededError):
        return HemaError(
            f"{error.stage} took longer than it may ({error.cause})",
            place=str(image.path),
            remedy="run it again by itself, or when the machine has less to do",
            code=DeadlineExceededError.code,
        )
    if error.stage in OPENING and isinstance(error.cause, WorkerDiedError | MemoryError):
        return InputError(
            f"could not be opened: {error.cause or 'out of memory'}",
            place=str(image.path),
            remedy="try it by itself; if that fails too, export it again as 8-bit RGB PNG, JPEG or TIFF",
            code=InputCode.UNREADABLE,
        )
    return error.cause


async def analyze(
    images: Sequence[InputImage], options: Options, observer: Observer, cancel: asyncio.Event | None = None
) -> list[Finished]:
    """Analyse images; a bad one does not stop the others.

    Args:
        cancel: when it is set, no more images are opened, those under way are cancelled and their partial reports
            written; the rest ends as cancelled.

    Raises:
        FlowError, HemaError: the pipeline as a whole cannot be built or has failed.
    """
    cancel = cancel or asyncio.Event()
    pipeline = _prepared(images, options)
    report: Any = pipeline["report"]
    beside = load_panel(report.panel).differential.beside
    run = _Run({image.id: image for image in images}, observer, beside)
    if await _started(pipeline, cancel):
        await _drained(pipeline, run, cancel)
    run.note_unopened()
    return run.outcomes


def _prepared(images: Sequence[InputImage], options: Options) -> Pipeline:
    defaults: dict[str, dict[str, Any]] = {"report": {"out": options.out, "replace": options.replace}}
    if options.deltas:
        defaults["deltas"] = {"location": options.deltas}
    pipeline = build_pipeline("smear", options.profile, options.settings, defaults)
    identify_report(pipeline, "smear", options.profile, options.settings)
    pipeline["source"].inputs = list(images)  # type: ignore[attr-defined]
    return pipeline


async def _started(pipeline: Pipeline, cancel: asyncio.Event) -> bool:
    """Start the pipeline; False where it was cancelled first. Models take seconds to load and nothing is lost yet."""
    starting, cancelled = asyncio.create_task(pipeline.start()), asyncio.create_task(cancel.wait())
    await asyncio.wait({starting, cancelled}, return_when=asyncio.FIRST_COMPLETED)
    cancelled.cancel()
    if not starting.done():
        starting.cancel()
        return False
    starting.result()
    return True


async def _drained(pipeline: Pipeline, run: _Run, cancel: asyncio.Event) -> None:
    """Run a started pipeline to its end, and stop it."""
    reading = asyncio.create_task(_read(pipeline.bus, run))
    watching = asyncio.create_task(_cancel_when_set(pipeline, cancel))
    try:
        await pipeline.drain()
    finally:
        watching.cancel()
        pipeline.bus.close()
        await reading
        await pipeline.stop()


async def _read(bus: Bus, run: _Run) -> None:
    async for message in bus:
        run.take(message)


async def _cancel_when_set(pipeline: Pipeline, cancel: asyncio.Event) -> None:
    await cancel.wait()
    pipeline.stop_sources()
    await pipeline.cancel_all()
