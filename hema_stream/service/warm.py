"""The warm pipeline: one for all slides, its models loaded once; begun anew where it fails as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from hema_stream.core.errors import InputError
from hema_stream.core.field import Field, FieldsPassed, Scan
from hema_stream.core.slide import InputImage
from hema_stream.flow import Pipeline
from hema_stream.flow.bus import SlideEnded
from hema_stream.flow.errors import StageError
from hema_stream.service.build import build_pipeline, identify_report
from hema_stream.service.hub import LiveHub
from hema_stream.service.settings import ServiceSettings

NAME = "serve"
HEARING = 30.0
"""Seconds that the last messages of a pipeline that failed may take to be heard."""
_log = structlog.get_logger(__name__)

Ended = Callable[[str, str, BaseException | None], None]


class WarmPipeline:
    """Runs configs/pipelines/serve.launch.

    Args:
        ended: called with a slide's id, how it ended (``done``, ``rejected``, ``failed``, ``cancelled``) and why.
        broken: called when the pipeline as a whole has failed; everything that was open in it is gone.
    """

    def __init__(
        self, settings: ServiceSettings, hub: LiveHub, ended: Ended, broken: Callable[[BaseException], None]
    ) -> None:
        self._settings, self._hub, self._ended, self._broken = settings, hub, ended, broken
        self._pipeline: Pipeline | None = None
        self._failure: BaseException | None = None
        self._cancelled: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self.on_taken: Callable[[str, int, str], None] = lambda slide, index, verdict: None

    @property
    def running(self) -> bool:
        """Whether slides can be offered."""
        return self._pipeline is not None

    async def start(self) -> None:
        """Build the pipeline and load its models.

        Raises:
            FlowError, HemaError: it cannot be built or started.
        """
        settings = self._settings
        pipeline = build_pipeline(NAME, settings.profile, settings.settings, _defaults(settings))
        identify_report(pipeline, NAME, settings.profile, settings.settings)
        self._cancelled = set()
        stage: Any = pipeline["hub"]
        stage.watcher, stage.wants_part = self._hub, self._cancelled.__contains__
        self._listen(pipeline)
        await pipeline.start()
        self._pipeline = pipeline
        self._failure = None
        reading = asyncio.create_task(self._read(pipeline))
        self._tasks = [reading, asyncio.create_task(self._watch(pipeline, reading))]

    async def stop(self, grace: float) -> None:
        """Stop; calls in flight get ``grace`` seconds. What is open ends nowhere and is begun anew later.

        The pipeline cancels it, but only what a person cancelled is reported in part: a report says that a job ended.
        """
        pipeline, self._pipeline = self._pipeline, None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if pipeline is not None:
            await pipeline.stop(grace)

    def offer(self, image: InputImage, priority: int) -> None:
        """Open an image as a slide."""
        self._stage("intake").offer(image, priority)

    def open_scan(self, slide: str, scan: Scan, priority: int) -> None:
        """Open a slide that comes field by field; where the pipeline has just failed, it is begun with the next one."""
        if self.running:
            self._stage("fields").open(slide, scan, priority)

    def push(self, slide: str, field: Field) -> None:
        """Hand in a field of a scan; who does has a credit for it."""
        if self.running:
            self._stage("fields").push(slide, field)

    def pass_by(self, slide: str, passed: FieldsPassed) -> None:
        """Hand in a watermark of a scan."""
        if self.running:
            self._stage("fields").pass_by(slide, passed)

    def close_scan(self, slide: str) -> None:
        """Say that nothing of a scan follows."""
        if self.running:
            self._stage("fields").close(slide)

    def forget_scan(self, slide: str) -> None:
        """Let go of the fields that wait of a scan that has ended."""
        if self.running:
            self._stage("fields").withdraw(slide)

    async def cancel(self, slide: str) -> bool:
        """Cancel a slide; False where it had not become one yet, so that nothing will tell of its end."""
        if self._stage("intake").withdraw(slide) or self._stage("fields").withdraw(slide):
            return False
        if self._pipeline is not None:
            self._cancelled.add(slide)
            await self._pipeline.cancel(slide)
        return True

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Figures of stages and links; empty while nothing runs."""
        return self._pipeline.statistics() if self._pipeline else {"stages": {}, "links": {}}

    @property
    def networks(self) -> dict[str, str]:
        """Identities of the networks that name cells, by stream; empty while nothing runs."""
        stages: list[Any] = list(self._pipeline.topology.stages.values()) if self._pipeline else []
        return {stage.stream: stage.identity for stage in stages if hasattr(stage, "keep_features")}

    def _listen(self, pipeline: Pipeline) -> None:
        """Hear, on this loop, what the survey tells in its thread."""
        loop, survey = asyncio.get_running_loop(), pipeline["survey"]

        def taken(slide: str, index: int, verdict: str) -> None:
            loop.call_soon_threadsafe(self.on_taken, slide, index, verdict)

        survey.taken = taken  # type: ignore[attr-defined]

    def _stage(self, name: str) -> Any:
        if self._pipeline is None:
            raise RuntimeError("the pipeline is not running")
        return self._pipeline[name]

    async def _read(self, pipeline: Pipeline) -> None:
        async for message in pipeline.bus:
            if isinstance(message, SlideEnded) and not self._went_down_with(message):
                try:
                    self._end(message)
                except Exception:  # of one slide: the ends of the others must be heard all the same
                    _log.exception("an end was not taken", slide=message.slide)

    def _end(self, message: SlideEnded) -> None:
        cause = message.error.cause if isinstance(message.error, StageError) else message.error
        status = "rejected" if isinstance(cause, InputError) else message.outcome
        self._cancelled.discard(message.slide)
        self._ended(message.slide, status, cause or message.error)

    def _went_down_with(self, message: SlideEnded) -> bool:
        """Whether a slide only ended since the whole pipeline did: it is begun anew."""
        return self._failure is not None and message.error is self._failure

    async def _watch(self, pipeline: Pipeline, reading: asyncio.Task[None]) -> None:
        """Wait until the pipeline fails: its intake never ends by itself."""
        try:
            await pipeline.drain()
        except Exception as error:
            _log.exception("pipeline failed")
            self._pipeline, self._failure = None, error
            try:
                await pipeline.stop(0.0)
                await asyncio.wait({reading}, timeout=HEARING)
            except Exception:
                _log.exception("the pipeline that failed does not stop")
            finally:
                reading.cancel()
                self._broken(error)


def _defaults(settings: ServiceSettings) -> dict[str, dict[str, Any]]:
    """Where results go; features of white cells are kept for a site to learn from, and the site is chosen by a file."""
    return {
        "report": {"out": settings.results, "overlay": True},
        "classify_wbc": {"keep_features": True},
        "route": {"choice": settings.site_choice},
    }
