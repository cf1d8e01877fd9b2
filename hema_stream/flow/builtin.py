"""Stages of the runtime's own: sources and sinks for trying things, tee, queue, identity."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from hema_stream.flow.caps import ANY, Caps
from hema_stream.flow.events import Buffer, CapsEvent, Eos, Event, Gap, StreamStart
from hema_stream.flow.placement import loop
from hema_stream.flow.props import prop
from hema_stream.flow.stage import Pad, Sink, Source, Stage, Transform


class Identity(Transform[Any, Any]):
    """Pass everything on unchanged."""

    runs_on = loop()

    def process(self, item: Any, state: Any, pad: str = "sink") -> Any:
        """Return the item."""
        return item


class Queue(Identity):
    """An explicit place to wait: the link into it has these limits."""

    max_size_buffers: int = prop(64, doc="items that wait at most", ge=1)
    max_size_bytes: int = prop(64 << 20, doc="bytes that wait at most", unit="B", ge=1)


class Funnel(Stage):
    """Let slides in from several branches, each slide by one of them; everything passes unchanged."""

    sinks = {"sink_%u": Pad(Caps(ANY), request=True)}
    sources = {"src": Pad(Caps(ANY))}

    def negotiate_pad(self, pad: str, caps: Caps, state: Any) -> tuple[Caps, Any]:
        """Pass caps on, also those that come later in the stream."""
        return caps, True

    def process(self, item: Any, state: Any, pad: str = "sink_0") -> Any:
        """Return the item."""
        return item


class Tee(Stage):
    """Hand every item to each linked source pad by reference."""

    sinks = {"sink": Pad(Caps(ANY))}
    sources = {"src_%u": Pad(Caps(ANY), request=True)}

    def __init__(self, **properties: Any) -> None:
        super().__init__(**properties)
        self.pads: tuple[str, ...] = ()

    def process(self, item: Any, state: Any, pad: str = "sink") -> Any:
        """Return the item; with one template for all its pads the runtime hands it to each."""
        return item

    def gap(self, gap: Gap, state: Any) -> Any:
        """Hand a gap to each."""
        return gap


class FakeSource(Source):
    """Give numbers as items, slide by slide."""

    num_buffers: int = prop(10, doc="items a slide", ge=0)
    slides: int = prop(1, doc="how many slides", ge=0)

    async def stream(self) -> AsyncIterator[Event]:
        """Yield each slide whole."""
        for number in range(self.slides):
            slide = f"slide-{number}"
            yield StreamStart(slide)
            yield CapsEvent(slide, Caps("number"))
            for value in range(self.num_buffers):
                yield Buffer(slide, value)
                await asyncio.sleep(0)
            yield Eos(slide)


class FakeSink(Sink):
    """Count items and forget them."""

    runs_on = loop()

    def __init__(self, **properties: Any) -> None:
        super().__init__(**properties)
        self.count = 0

    def process(self, item: Any, state: Any, pad: str = "sink") -> None:
        """Count one item."""
        self.count += 1

    def gap(self, gap: Gap, state: Any) -> None:
        """Take a gap in silence."""
