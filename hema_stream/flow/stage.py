"""The stage classes that authors derive from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from hema_stream.flow.caps import ANY, Caps
from hema_stream.flow.errors import PropertyError
from hema_stream.flow.events import Event, Gap
from hema_stream.flow.placement import Placement, cpu, loop
from hema_stream.flow.policy import Policy
from hema_stream.flow.props import convert, specs

I = TypeVar("I")  # noqa: E741  the field's names for what goes in and out
O = TypeVar("O")  # noqa: E741


@dataclass(frozen=True)
class Pad:
    """A pad's template; a request pad exists once it is linked."""

    caps: Caps
    request: bool = False


def template_of(pad: str, pads: Mapping[str, Pad]) -> Pad | None:
    """Find the template that a request pad such as ``sink_3`` was made of."""
    return next((t for name, t in pads.items() if "%u" in name and pad.startswith(name.partition("%u")[0])), None)


class Stage:
    """One step of a pipeline: declared pads, properties, placement, policy, and one method of work.

    ``process``, ``finish``, ``gap``, ``failed`` and ``cancelled`` return nothing, one item, a ``Gap``, a ``Caps`` (sent
    as a caps event in its place) or an iterable of those, pulled as there is room. With several source pads each
    output is ``(pad, item)``. State of a slide comes from ``negotiate`` and is passed back in; ``self`` holds only
    properties and models.
    """

    sinks: ClassVar[dict[str, Pad]] = {}
    sources: ClassVar[dict[str, Pad]] = {}
    runs_on: Placement = loop()
    on_error: Policy = Policy.FAIL_SLIDE
    deadline: float | None = 30.0

    @property
    def gap_pads(self) -> tuple[str, ...]:
        """Source pads on which an item that this stage lost shows as a gap; all of them unless overridden."""
        return tuple(self.sources)

    def __init__(self, name: str = "", **properties: Any) -> None:
        self.name = name or type(self).__name__.lower()
        self._post: Callable[[Any], None] = _nowhere
        known = specs(type(self))
        for key, value in properties.items():
            key = key.replace("-", "_")
            if key not in known:
                raise PropertyError(f"{self.name}: no property {key!r}; known are {', '.join(known) or 'none'}")
            setattr(self, key, convert(known[key], value, self.name))

    def __getstate__(self) -> dict[str, Any]:
        """Travel to a worker process with properties alone; nobody listens to posts there."""
        return {**self.__dict__, "_post": _nowhere}

    def start(self) -> None:
        """Null to ready: import what is heavy, load models. Runs where the stage runs."""

    def stop(self) -> None:
        """Ready to null."""

    def negotiate(self, caps: Caps) -> tuple[Caps, Any]:
        """Take a slide's caps; return those of the outputs, and the slide's state."""
        return caps, None

    def negotiate_pad(self, pad: str, caps: Caps, state: Any) -> tuple[Caps | None, Any]:
        """As ``negotiate``, a call a sink pad.

        ``state`` is None the first time; the caps returned may be None for nothing to send. With one sink pad, caps
        that come later in the stream are negotiated anew, and the state returned replaces the one before; several
        pads bring the same caps, of which the first are taken, unless this is overridden.
        """
        only = len(self.sinks) == 1 and pad in self.sinks
        return self.negotiate(caps) if state is None or only else (None, state)

    def process(self, item: Any, state: Any, pad: str = "sink") -> Any:
        """Work on one item."""
        raise NotImplementedError(f"{type(self).__name__} has no process()")

    def gap(self, gap: Gap, state: Any) -> Any:
        """Take a gap from upstream; passes it on to every source pad unless overridden."""
        if len(self.sources) > 1:
            return [(pad, gap) for pad in self.sources]
        return gap

    def finish(self, state: Any) -> Any:
        """End a slide, after all its inputs have; may emit."""
        return None

    def failed(self, error: BaseException, state: Any) -> Any:
        """Take leave of a slide that failed; may emit."""
        return None

    def cancelled(self, state: Any) -> Any:
        """Take leave of a slide that was cancelled; may emit a last item."""
        return None

    def close(self, state: Any) -> None:
        """Free a slide's state, however it ended."""

    def post(self, message: Any) -> None:
        """Put a message on the pipeline's bus; from any thread."""
        self._post(message)


def _nowhere(message: Any) -> None:
    """Where posts go while a stage is in no running pipeline."""


class Transform(Stage, Generic[I, O]):
    """One sink pad ``sink``, one source pad ``src``."""

    accepts: ClassVar[Caps] = Caps(ANY)
    produces: ClassVar[Caps] = Caps(ANY)
    runs_on = cpu()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.sinks = {"sink": Pad(cls.accepts)}
        cls.sources = {"src": Pad(cls.produces)}


class BatchTransform(Transform[I, O]):
    """Works on items of several slides in one call; the ``batch`` stage in front says how many rows and how long."""

    def process_batch(self, items: Sequence[I], states: Sequence[Any]) -> Sequence[O]:
        """Return one output an item, in order."""
        raise NotImplementedError(f"{type(self).__name__} has no process_batch()")

    def is_oom(self, error: BaseException) -> bool:
        """Whether an exception means that the batch was too large for the device."""
        return isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "OutOfMemory")


class Source(Stage):
    """Where slides come from."""

    produces: ClassVar[Caps] = Caps(ANY)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.sources = {"src": Pad(cls.produces)}

    def stream(self) -> AsyncIterator[Event]:
        """Yield StreamStart, CapsEvent, Buffer and Eos events; it is pulled only when downstream has room."""
        raise NotImplementedError(f"{type(self).__name__} has no stream()")


class Sink(Stage):
    """Where a branch ends."""

    accepts: ClassVar[Caps] = Caps(ANY)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.sinks = {"sink": Pad(cls.accepts)}

    async def consume(self, item: Any, state: Any) -> None:
        """Take one item, on the loop; override ``process`` instead for work in threads or processes."""
        raise NotImplementedError(f"{type(self).__name__} has no consume()")
