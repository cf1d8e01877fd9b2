"""A slide within one stage: its jobs in the order in which they came, and what it has been told so far."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile

from hema_stream.flow.events import Buffer, CapsEvent, Event
from hema_stream.flow.invoke import Outputs


@dataclass(eq=False)
class Job:
    """One event of a slide being worked on; outputs leave in the order of the jobs."""

    event: Event
    pad: str
    outputs: Outputs = field(default_factory=Outputs)
    done: bool = False


@dataclass(eq=False)
class SlideRun:
    """A slide within one stage.

    Attributes:
        started: its start was passed on; negotiated, ended: pads that brought caps, and that ended.
        jobs: not yet left, oldest first; emitting: the task that lets them leave.
        gated: whether a control event waits for its turn, before which nothing more is taken.
        moved: set whenever a job has left; quiet: set while no call is in flight.
        closing: all its inputs have ended, and a batcher still holds rows of it.
        over: the slide was failed or cancelled; its jobs leave no more.
    """

    started: bool = False
    negotiated: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    jobs: deque[Job] = field(default_factory=deque)
    emitting: asyncio.Task[None] | None = None
    gated: bool = False
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    in_flight: int = 0
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    closing: bool = False
    over: bool = False

    def begin(self, job: Job) -> None:
        """Enter a job whose call is about to be made."""
        self.jobs.append(job)
        self.call_begins()

    def finish(self, job: Job, outputs: Outputs) -> None:
        """Note what a job's call gave."""
        job.outputs, job.done = outputs, True
        self.call_ends()

    def call_begins(self) -> None:
        """Note a call in flight."""
        self.in_flight += 1
        self.quiet.clear()

    def call_ends(self) -> None:
        """Note the end of one."""
        self.in_flight -= 1
        if not self.in_flight:
            self.quiet.set()

    def abandon(self) -> None:
        """Let no job leave any more, and nobody wait for one; calls in flight are disowned."""
        self.over, self.gated = True, False
        self.jobs.clear()
        self.moved.set()

    def next_job(self, ordered: bool) -> Job | None:
        """Choose the job that may leave: the first, or any finished one before a control event if order is free."""
        if not self.jobs:
            return None
        if self.jobs[0].done:
            return self.jobs[0]
        if not ordered:
            for job in self.jobs:
                if not isinstance(job.event, Buffer):
                    return None
                if job.done:
                    return job
        return None

    def has_control_after(self, event: Event) -> bool:
        """Whether a control event other than this one still waits for its turn."""
        return any(not isinstance(job.event, Buffer) and job.event is not event for job in self.jobs)

    def has_caps_before(self, job: Job) -> bool:
        """Whether caps that came before a job are still to be negotiated."""
        before = takewhile(lambda other: other is not job, self.jobs)
        return any(isinstance(other.event, CapsEvent) for other in before)

    async def settle(self, patience: float = 0.3) -> None:
        """Wait a little for calls in flight; what takes longer is disowned."""
        if self.in_flight:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self.quiet.wait()
