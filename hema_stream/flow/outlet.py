"""The downstream side of a stage: what it gives goes down its source pads, waiting where there is no room."""

from __future__ import annotations

from typing import Any

from hema_stream.flow.caps import ANY, Caps
from hema_stream.flow.errors import FlowError, NegotiationError
from hema_stream.flow.events import Buffer, CapsEvent, Event, Gap, GapEvent
from hema_stream.flow.executors import Executor
from hema_stream.flow.invoke import Outputs
from hema_stream.flow.link import Link
from hema_stream.flow.run import Run
from hema_stream.flow.stage import Stage, template_of


class Outlet:
    """A stage's outbound links, by source pad."""

    def __init__(self, stage: Stage, executor: Executor, run: Run) -> None:
        self.links: dict[str, Link] = {}
        self._stage, self._executor, self._is_over = stage, executor, run.slides.is_over

    @property
    def only_link(self) -> Link | None:
        """The one link of a stage with a single source pad; None where there are more, or none."""
        return next(iter(self.links.values())) if len(self._stage.sources) == 1 and len(self.links) == 1 else None

    async def send_all(self, slide: str, outputs: Outputs) -> None:
        """Hand on what a hook gave; what it gives lazily is drawn as there is room, and closed if it is not wanted."""
        try:
            items = outputs.items
            outputs.items = []
            while True:
                for output in items:
                    if outputs.sent >= outputs.again:
                        await self._send(slide, output)
                    outputs.sent += 1
                del items[:]
                if outputs.rest is None or self._is_over(slide):
                    return
                items = await self._executor.pull(outputs)
        finally:
            if outputs.rest is not None:
                self._executor.discard(outputs)

    async def _send(self, slide: str, output: Any) -> None:
        if self._is_over(slide):
            return
        if isinstance(output, Caps):
            await self.send_caps(slide, output)
            return
        pad, item = output if len(self._stage.sources) > 1 else (None, output)
        event: Event = GapEvent(slide, item) if isinstance(item, Gap) else Buffer(slide, item)
        for link in self.of(pad):
            if not self._is_over(slide) and not link.offer(event):
                await link.put(event)

    async def send_caps(self, slide: str, caps: Caps) -> None:
        """Send caps down every source pad, each with its own media type."""
        for pad, link in self.links.items():
            template = self._template(pad)
            own = caps if template.media == ANY else caps.with_(template.media)
            field = template.conflict(own)
            if field:
                raise NegotiationError(
                    f"{self._stage.name}.{pad} promises {template!r}, but gives {own!r}: {field!r} differs"
                )
            if not self._is_over(slide):
                await link.put(CapsEvent(slide, own))

    def forward(self, event: Event) -> None:
        """Pass a slide's start or end down every pad; it needs no room."""
        for link in self.links.values():
            link.offer(event)

    def of(self, pad: str | None) -> list[Link]:
        """Links of an output's pad; a request pad that nobody asked for swallows what it is given."""
        if pad is None:
            return list(self.links.values())
        link = self.links.get(pad)
        if link is None:
            self._template(pad)
        return [] if link is None else [link]

    def _template(self, pad: str) -> Caps:
        """Look up a source pad's caps; FlowError where the stage has no such pad."""
        own = self._stage.sources.get(pad) or template_of(pad, self._stage.sources)
        if own is None:
            raise FlowError(f"{self._stage.name} has no source pad {pad!r}; it has {', '.join(self._stage.sources)}")
        return own.caps
