"""Scans under way: slides that scanners push, between their connections, the disk and the pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from hema_stream.clinical.panel import Panel
from hema_stream.core.errors import HemaError
from hema_stream.core.field import Field, FieldsPassed
from hema_stream.service.dispatch import Dispatcher
from hema_stream.service.hub import LiveHub
from hema_stream.service.ingest import Ended, IngestLimits, Opening, Push, Wanted
from hema_stream.service.jobs import Job
from hema_stream.service.live import End
from hema_stream.service.spool import Kept, Spool, replayed
from hema_stream.service.tasks import Tasks

LOOK = 5.0
"""Seconds between two looks for scanners that are gone."""
_log = structlog.get_logger(__name__)


class TooManyScansError(HemaError):
    """No further scan is opened just now."""

    code = "scans"


class Scans:
    """Pushes by slide. Belongs to the loop; what the pipeline tells comes by ``left`` and ``finish``.

    What a slide is told to do is done one after the other by a task of its own: a field is kept on the disk, then
    acknowledged and handed to the pipeline.
    """

    def __init__(self, limits: IngestLimits, spare: int, panel: Panel, dispatcher: Dispatcher, hub: LiveHub) -> None:
        self._limits, self._spare, self._panel = limits, spare, panel
        self._dispatcher, self._hub = dispatcher, hub
        self._pushes: dict[str, Push] = {}
        self._spools: dict[str, Spool] = {}
        self._orders: dict[str, asyncio.Queue[Field | FieldsPassed | None]] = {}
        self._room: dict[str, asyncio.Event] = {}
        self._tasks = Tasks("scans")
        dispatcher.on_ended, dispatcher.pipeline.on_taken = self.finish, self.left
        dispatcher.resume = self.resume

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

    def announce(self, job: Job, opening: Opening, owner: str) -> tuple[Push, Spool]:
        """Make room for a slide whose job is about to be written down."""
        spool = Spool(Path(job.path), self._spare)
        push = Push(
            job.id, job.name, owner, opening.scan(self._limits, spool.folder), self._wanted(opening), self._limits, self
        )
        push.figures = lambda: self._hub.counts(job.id)
        push.heard = asyncio.get_running_loop().time()
        self._pushes[job.id], self._spools[job.id] = push, spool
        self._orders[job.id], self._room[job.id] = asyncio.Queue(), asyncio.Event()
        return push, spool

    def begin(self, job: Job) -> None:
        """Open the slide in the pipeline; its job is in the database, marked as running."""
        push = self._pushes[job.id]
        self._dispatcher.begin_scan(job, push.scan)
        self._tasks.spawn(self._carry_out(push, ()))

    def forget(self, slide: str) -> None:
        """Let go of a scan."""
        self._pushes.pop(slide, None)
        self._spools.pop(slide, None)
        if room := self._room.pop(slide, None):
            room.set()
        if orders := self._orders.pop(slide, None):
            orders.put_nowait(None)

    async def resume(self, jobs: list[Job]) -> None:
        """Go on with scans that a stop or a failure of the pipeline has interrupted, from what lies on the disk."""
        for job in jobs:
            if before := self._pushes.get(job.id):
                before.changed(None, "restarted")
                self.forget(job.id)
            kept = await asyncio.to_thread(Spool(Path(job.path), self._spare).read)
            if kept is None:
                self._dispatcher.lose_scan(job)
                continue
            push, _ = self.announce(job, kept.opening, kept.owner)
            push.received = {field.index for field in kept.fields}
            push.taken, push.replaying = kept.taken, True
            self._dispatcher.begin_scan(job, push.scan)
            self._tasks.spawn(self._replay(push, kept))
            _log.info("scan resumed", slide=job.id, fields=len(kept.fields), closed=kept.taken is not None)

    def hang_up(self) -> None:
        """Tell every scanner that the service stops; what was acknowledged is gone on with."""
        for push in self._pushes.values():
            push.changed(None, "restarted")

    async def tend(self) -> None:
        """Close scans whose scanners are gone for good; runs until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(self._limits.patience / 4, LOOK))
            for push in list(self._pushes.values()):
                push.expire(loop.time())

    # As a Push's sink.

    def push(self, slide: str, field: Field) -> None:
        """Keep a field, then hand it to the pipeline."""
        self._order(slide, field)

    def pass_by(self, slide: str, passed: FieldsPassed) -> None:
        """Hand a watermark to the pipeline, after the fields before it."""
        self._order(slide, passed)

    def close(self, slide: str) -> None:
        """Tell the pipeline that nothing follows."""
        self._order(slide, None)

    def abort(self, slide: str) -> None:
        """Cancel the slide."""
        self._tasks.spawn(self._dispatcher.cancel(slide))

    # What the pipeline and the dispatcher tell.

    def left(self, slide: str, index: int, verdict: str) -> None:
        """A field needs its room no longer."""
        if push := self._pushes.get(slide):
            push.left(index, verdict)
            self._room[slide].set()

    def finish(self, slide: str, end: End) -> None:
        """A slide has ended."""
        if push := self._pushes.get(slide):
            push.end(Ended(str(end.status), end.url, end.sha256, dict(end.counts), dict(end.progress)))
            self.forget(slide)

    # Within.

    def _order(self, slide: str, order: Field | FieldsPassed | None) -> None:
        if orders := self._orders.get(slide):
            orders.put_nowait(order)

    async def _replay(self, push: Push, kept: Kept) -> None:
        """Give what was kept to the pipeline again, no faster than it has room; then take orders."""
        pipeline, room = self._dispatcher.pipeline, self._room[push.slide]
        again = replayed(kept.fields)
        for _ in kept.fields:
            while push.room <= 0 and self._pushes.get(push.slide) is push:
                room.clear()
                await room.wait()
            if self._pushes.get(push.slide) is not push:
                return
            field = await asyncio.to_thread(next, again)
            push.under_way.add(field.index)
            pipeline.push(push.slide, field)
        push.replaying = False
        closing: tuple[FieldsPassed | None, ...] = ()
        if kept.taken is not None:
            closing = (FieldsPassed((), "close", taken=kept.taken), None)
        await self._carry_out(push, closing)

    async def _carry_out(self, push: Push, first: tuple[Field | FieldsPassed | None, ...]) -> None:
        """Do what the slide is told, in order, to its close."""
        slide, pipeline = push.slide, self._dispatcher.pipeline
        orders, spool = self._orders[slide], self._spools[slide]
        for order in first:
            orders.put_nowait(order)
        while self._pushes.get(slide) is push:
            order = await orders.get()
            if self._pushes.get(slide) is not push:
                return
            if isinstance(order, Field):
                if await self._kept(push, partial(spool.keep, order, push.scan)):
                    push.kept(order.index)
                    pipeline.push(slide, order)
                else:
                    push.not_kept(order.index)
            elif isinstance(order, FieldsPassed):
                if order.taken is not None:
                    await self._kept(push, partial(spool.close, order.taken))
                pipeline.pass_by(slide, order)
            else:
                pipeline.close_scan(slide)

    async def _kept(self, push: Push, write: Callable[[], None]) -> bool:
        """Write something down; False where the disk does not take it."""
        try:
            await asyncio.to_thread(write)
        except OSError:
            _log.exception("scan cannot be kept", slide=push.slide)
            return False
        return True

    def _wanted(self, opening: Opening) -> Wanted:
        told, panel = opening.wanted, self._panel
        return Wanted(
            wbc=panel.differential.wanted if told.wbc is None else told.wbc,
            rbc=panel.morphology.wanted if told.rbc is None else told.rbc,
            beside=panel.differential.beside,
        )
