"""Scans under way: slides that scanners push, between their connections, the disk and the pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog

from hema_stream.clinical.panel import Panel
from hema_stream.core.errors import HemaError
from hema_stream.core.field import Field, FieldsPassed
from hema_stream.service.dispatch import Dispatcher
from hema_stream.service.hub import LiveHub
from hema_stream.service.ingest import Ended, IngestLimits, Opening, Push, Wanted
from hema_stream.service.jobs import Job
from hema_stream.service.live import End
from hema_stream.service.orders import Order, Orders
from hema_stream.service.spool import Kept, Spool, replayed
from hema_stream.service.tasks import Tasks

LOOK = 5.0
"""Seconds between two looks for scanners that are gone."""
Written = TypeVar("Written")
_log = structlog.get_logger(__name__)


class TooManyScansError(HemaError):
    """No further scan is opened just now."""

    code = "scans"


class Scans:
    """Pushes by slide. Belongs to the loop; what the pipeline tells comes by ``left`` and ``finish``.

    What a slide is told to do is done in its order by a task of its own: the fields that wait together are kept on the
    disk, then acknowledged and handed to the pipeline.
    """

    def __init__(self, limits: IngestLimits, spare: int, panel: Panel, dispatcher: Dispatcher, hub: LiveHub) -> None:
        self._limits, self._spare, self._panel = limits, spare, panel
        self._dispatcher, self._hub = dispatcher, hub
        self._pushes: dict[str, Push] = {}
        self._spools: dict[str, Spool] = {}
        self._orders: dict[str, Orders] = {}
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
        spool = self._spool(job)
        push = Push(
            job.id, job.name, owner, opening.scan(self._limits, spool.folder), self._wanted(opening), self._limits, self
        )
        push.figures = lambda: self._hub.counts(job.id)
        push.heard = asyncio.get_running_loop().time()
        self._pushes[job.id], self._spools[job.id] = push, spool
        self._orders[job.id], self._room[job.id] = Orders(), asyncio.Event()
        return push, spool

    def begin(self, job: Job) -> None:
        """Open the slide in the pipeline; its job is in the database, marked as running."""
        push = self._pushes[job.id]
        self._dispatcher.begin_scan(job, push.scan)
        self._tasks.spawn(self._to_its_end(push, self._carry_out(push, ())))

    def forget(self, slide: str) -> None:
        """Let go of a scan."""
        self._pushes.pop(slide, None)
        self._spools.pop(slide, None)
        if room := self._room.pop(slide, None):
            room.set()
        if (orders := self._orders.pop(slide, None)) is not None:
            orders.put(None)

    async def resume(self, jobs: list[Job]) -> None:
        """Go on with scans that a stop or a failure of the pipeline has interrupted, from what lies on the disk."""
        for job in jobs:
            if before := self._pushes.get(job.id):
                before.changed(None, "restarted")
                self.forget(job.id)
            try:
                kept = await asyncio.to_thread(self._spool(job).read)
            except (ValueError, KeyError, TypeError, OSError) as error:
                _log.exception("scan cannot be gone on with", slide=job.id)
                self._dispatcher.lose_scan(job, str(error).partition("\n")[0])
                continue
            if kept is None:
                self._dispatcher.lose_scan(job)
                continue
            push, _ = self.announce(job, kept.opening, kept.owner)
            push.received = {field.index for field in kept.fields}
            push.watermark, push.sealed = kept.watermark, list(kept.sealed)
            push.taken, push.replaying = kept.taken, True
            self._dispatcher.begin_scan(job, push.scan)
            self._tasks.spawn(self._to_its_end(push, self._replay(push, kept)))
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

    def _order(self, slide: str, order: Order) -> None:
        if (orders := self._orders.get(slide)) is not None:
            orders.put(order)

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
        said: list[FieldsPassed] = [
            FieldsPassed((), "watermark", through=kept.watermark, sealed=region) for region in kept.sealed
        ]
        if kept.watermark >= 0 and not said:
            said.append(FieldsPassed((), "watermark", through=kept.watermark))
        for passed in said:
            pipeline.pass_by(push.slide, passed)
        closing: tuple[Order, ...] = ()
        if kept.taken is not None:
            closing = (FieldsPassed((), "close", taken=kept.taken), None)
        await self._carry_out(push, closing)

    async def _to_its_end(self, push: Push, work: Coroutine[Any, Any, None]) -> None:
        """Do what a slide is told; where that fails, the slide fails, and its scanner is told."""
        try:
            await work
        except Exception as error:
            _log.exception("scan failed", slide=push.slide)
            await self._dispatcher.fail_scan(push.slide, error)

    async def _carry_out(self, push: Push, first: tuple[Order, ...]) -> None:
        """Do what the slide is told, in order, to its close; what waits together is kept together."""
        slide, orders = push.slide, self._orders[push.slide]
        for order in first:
            orders.put(order)
        while self._pushes.get(slide) is push:
            group = await orders.take()
            if self._pushes.get(slide) is push:
                await self._keep(push, group)

    async def _keep(self, push: Push, group: list[Order]) -> None:
        """Bring a group onto the disk, acknowledge what is there, and hand it on in its order."""
        slide, pipeline, spool = push.slide, self._dispatcher.pipeline, self._spools[push.slide]
        kept = [order for order in group if isinstance(order, Field) or (order is not None and order.taken is None)]
        taken = [order.taken for order in group if isinstance(order, FieldsPassed) and order.taken is not None]
        lost = await self._written(push, partial(spool.keep, kept, push.scan)) if kept else {}
        for fields in taken:
            await self._written(push, partial(spool.close, fields))
        if self._pushes.get(slide) is not push:
            return
        for order in group:
            if order is None:
                pipeline.close_scan(slide)
            elif isinstance(order, FieldsPassed):
                pipeline.pass_by(slide, order)
            elif lost is None or order.index in lost:
                push.not_kept(order.index)
            else:
                push.kept(order.index)
                pipeline.push(slide, order)

    async def _written(self, push: Push, write: Callable[[], Written]) -> Written | None:
        """Write something down; None where the disk does not take it."""
        try:
            return await asyncio.to_thread(write)
        except OSError:
            _log.exception("scan cannot be kept", slide=push.slide)
            return None

    def _spool(self, job: Job) -> Spool:
        return Spool(Path(job.path), self._spare, self._limits.durability)

    def _wanted(self, opening: Opening) -> Wanted:
        told, panel = opening.wanted, self._panel
        return Wanted(
            wbc=panel.differential.wanted if told.wbc is None else told.wbc,
            rbc=panel.morphology.wanted if told.rbc is None else told.rbc,
            beside=panel.differential.beside,
        )
