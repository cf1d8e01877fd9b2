"""The graph of a pipeline before it runs: names, pads, caps templates, order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from hema_stream.flow.caps import Caps
from hema_stream.flow.errors import NegotiationError, PipelineError
from hema_stream.flow.stage import Pad, Stage, template_of

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


@dataclass(frozen=True)
class LinkSpec:
    """One link as built."""

    source: str
    source_pad: str
    sink: str
    sink_pad: str
    caps: Caps
    max_items: int
    max_bytes: int

    def __str__(self) -> str:
        return f"{self.source}.{self.source_pad} -> {self.sink}.{self.sink_pad}"


class Topology:
    """Stages and links, checked as they are added."""

    def __init__(self) -> None:
        self.stages: dict[str, Stage] = {}
        self.links: list[LinkSpec] = []

    def add(self, stage: Stage) -> Stage:
        """Add a stage; PipelineError where its name is taken, or is none that a link can refer to."""
        if not NAME.match(stage.name):
            raise PipelineError(f"{stage.name!r} is no name of a stage; take letters, digits, _ and -")
        if stage.name in self.stages:
            raise PipelineError(f"two stages are called {stage.name!r}; give one a name=")
        self.stages[stage.name] = stage
        return stage

    def link(self, source: str, sink: str, *, max_items: int, max_bytes: int) -> LinkSpec:
        """Link two pads, each ``stage.pad``; without a pad the first free one.

        Raises:
            PipelineError: no such stage or pad, or a pad linked twice.
            NegotiationError: the templates do not meet; names both pads and the field.
        """
        a, source_pad, source_template = self._pad(source, "sources")
        b, sink_pad, sink_template = self._pad(sink, "sinks")
        field = source_template.caps.conflict(sink_template.caps)
        if field is not None:
            raise NegotiationError(
                f"{a}.{source_pad} gives {source_template.caps!r}, {b}.{sink_pad} takes {sink_template.caps!r}: "
                f"they differ in {field!r}"
            )
        caps = source_template.caps.intersect(sink_template.caps)
        assert caps is not None
        spec = LinkSpec(a, source_pad, b, sink_pad, caps, max_items, max_bytes)
        self.links.append(spec)
        return spec

    def check(self) -> None:
        """Raise PipelineError where an always pad is not linked, or where the graph has a cycle."""
        for name, stage in self.stages.items():
            for pads, side in ((stage.sinks, "sinks"), (stage.sources, "sources")):
                for pad, template in pads.items():
                    if not template.request and not self._is_linked(name, pad, side):
                        raise PipelineError(f"{name}.{pad} is not linked")
            if stage.sinks and not any(link.sink == name for link in self.links):
                raise PipelineError(f"{name} has nothing linked to it")
        try:
            self.order()
        except CycleError as error:
            raise PipelineError(f"the graph has a cycle: {' -> '.join(error.args[1])}") from error

    def order(self) -> list[str]:
        """Names from sources to sinks."""
        graph: dict[str, set[str]] = {name: set() for name in self.stages}
        for link in self.links:
            graph[link.sink].add(link.source)
        return list(TopologicalSorter(graph).static_order())

    def below(self, name: str) -> frozenset[str]:
        """A stage with all that can be reached from it: where a source's slides pass."""
        return frozenset(other for other, above in self._ancestors.items() if name in above) | {name}

    def inputs(self, source: str, stage: str) -> frozenset[str]:
        """List the sink pads of a stage by which the slides of a source come."""
        passed = self.below(source)
        return frozenset(link.sink_pad for link in self.links if link.sink == stage and link.source in passed)

    def above(self, name: str) -> frozenset[str]:
        """Every stage from which this one can be reached."""
        return self._ancestors[name]

    @cached_property
    def _ancestors(self) -> dict[str, frozenset[str]]:
        above: dict[str, frozenset[str]] = {}
        for name in self.order():
            parents = {link.source for link in self.links if link.sink == name}
            above[name] = frozenset(parents).union(*(above[p] for p in parents))
        return above

    def _is_linked(self, stage: str, pad: str, side: str) -> bool:
        if side == "sinks":
            return any((link.sink, link.sink_pad) == (stage, pad) for link in self.links)
        return any((link.source, link.source_pad) == (stage, pad) for link in self.links)

    def _pad(self, reference: str, side: str) -> tuple[str, str, Pad]:
        name, _, pad = reference.partition(".")
        if name not in self.stages:
            raise PipelineError(f"no stage is called {name!r}; there are {', '.join(self.stages) or 'none'}")
        templates = getattr(self.stages[name], side)
        if pad:
            return name, pad, self._named(name, pad, templates, side)
        for candidate, template in templates.items():
            free = self._free(name, candidate, side)
            if free:
                return name, free, template
        raise PipelineError(f"{name} has no free pad among its {side}")

    def _named(self, stage: str, pad: str, templates: dict[str, Pad], side: str) -> Pad:
        template = templates.get(pad) or template_of(pad, templates)
        if template is None:
            raise PipelineError(f"{stage} has no pad {pad!r} among its {side}; there are {', '.join(templates)}")
        if self._is_linked(stage, pad, side):
            raise PipelineError(f"{stage}.{pad} is linked already; put a tee or another request pad between")
        return template

    def _free(self, stage: str, pad: str, side: str) -> str | None:
        if "%u" not in pad:
            return None if self._is_linked(stage, pad, side) else pad
        number = 0
        while self._is_linked(stage, pad.replace("%u", str(number)), side):
            number += 1
        return pad.replace("%u", str(number))
