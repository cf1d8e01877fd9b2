"""Collect: keep what arrives, by slide, for a program that runs a pipeline itself."""

from __future__ import annotations

from typing import Any

from hema_stream.flow import Caps, Gap, Pad, Stage, loop


class Collect(Stage):
    """Append every item to ``items[slide]`` in order of arrival; gaps are kept among them.

    For evaluation and tests, where the number of slides in flight is the caller's to bound.
    """

    sinks = {"sink_%u": Pad(Caps("ANY"), request=True)}
    runs_on = loop()

    def __init__(self, **properties: Any) -> None:
        super().__init__(**properties)
        self.items: dict[str, list[Any]] = {}

    def negotiate(self, caps: Caps) -> tuple[Caps, list[Any]]:
        """Open the slide's list; one whose pads open one after another keeps the first."""
        return caps, self.items.setdefault(caps.slide.id, [])

    def process(self, item: Any, state: list[Any], pad: str = "sink_0") -> None:
        """Keep one item."""
        state.append(item)

    def gap(self, gap: Gap, state: list[Any]) -> None:
        """Keep a gap."""
        state.append(gap)
