"""Scans under way: slides that scanners push, between their connections and the pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from hema_stream.clinical.panel import Panel
from hema_stream.core.errors import HemaError
from hema_stream.core.field import Field, FieldsPassed
from hema_stream.service.dispatch import Dispatcher
from hema_stream.service.hub import LiveHub
from hema_stream.service.ingest import Ended, IngestLimits, Opening, Push, Wanted
from hema_stream.service.jobs import Job
from hema_stream.service.live import End

LOOK = 5.0
"""Seconds between two looks for scanners that are gone."""


class TooManyScansError(HemaError):
    """No further scan is opened just now."""

    code = "scans"


class Scans:
    """Pushes by slide. Belongs to the loop; what the pipeline tells comes by ``left`` and ``finish``."""

    def __init__(self, limits: IngestLimits, panel: Panel, dispatcher: Dispatcher, hub: LiveHub) -> None:
        self._limits, self._panel, self._dispatcher, self._hub = limits, panel, dispatcher, hub
        self._pushes: dict[str, Push] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        dispatcher.on_ended, dispatcher.pipeline.on_taken = self.finish, self.left

    def __len__(self) -> int:
        """Count the scans that have not ended."""
        return len(self._pushes)

    def get(self, slide: str) -> Push | None:
        """The push of a slide; None where it has ended, or never was one."""
        return self._pushes.get(slide)

    def check_room(self) -> None:
        """Raise TooManyScansError where no further scan can be opened."""
        if len(self._pushes) >= self._limits.open:
            raise TooManyScansError(f"{self._limits.open} scans are under way", remedy="try again when one has ended")
        if not self._dispatcher.pipeline.running:
            raise TooManyScansError("the pipeline is not running", remedy="try again shortly")

    def open(self, job: Job, opening: Opening, owner: str) -> Push:
        """Begin a slide whose job is in the database, marked as running."""
        scan = opening.scan(self._limits)
        push = Push(job.id, job.name, owner, scan, self._wanted(opening), self._limits, self)
        push.figures = lambda: self._hub.counts(job.id)
        push.heard = asyncio.get_running_loop().time()
        self._pushes[job.id] = push
        self._dispatcher.begin_scan(job, scan)
        return push

    async def tend(self) -> None:
        """Close scans whose scanners are gone for good; runs until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(self._limits.patience / 4, LOOK))
            for push in list(self._pushes.values()):
                push.expire(loop.time())

    # As a Push's sink.

    def push(self, slide: str, field: Field) -> None:
        """Hand a field to the pipeline."""
        self._dispatcher.pipeline.push(slide, field)

    def pass_by(self, slide: str, passed: FieldsPassed) -> None:
        """Hand a watermark to the pipeline."""
        self._dispatcher.pipeline.pass_by(slide, passed)

    def close(self, slide: str) -> None:
        """Tell the pipeline that nothing follows."""
        self._dispatcher.pipeline.close_scan(slide)

    def abort(self, slide: str) -> None:
        """Cancel the slide."""
        task = asyncio.create_task(self._dispatcher.cancel(slide))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What the pipeline and the dispatcher tell.

    def left(self, slide: str, index: int, verdict: str) -> None:
        """A field needs its room no longer."""
        if push := self._pushes.get(slide):
            push.left(index, verdict)

    def finish(self, slide: str, end: End) -> None:
        """A slide has ended."""
        if push := self._pushes.pop(slide, None):
            push.end(ended_of(end.status, end.url, end.sha256, end.counts, end.progress))

    def _wanted(self, opening: Opening) -> Wanted:
        told, panel = opening.wanted, self._panel
        return Wanted(
            wbc=panel.differential.wanted if told.wbc is None else told.wbc,
            rbc=panel.morphology.wanted if told.rbc is None else told.rbc,
            beside=panel.differential.beside,
        )


def ended_of(
    status: str, url: str | None, sha256: str | None, counts: Mapping[str, int], progress: Mapping[str, int]
) -> Ended:
    """How a slide ended, for its scanner."""
    return Ended(str(status), url, sha256, dict(counts), dict(progress))
