"""Small stages that the contract's tests build pipelines of."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from hema_stream.flow import (
    BatchTransform,
    Buffer,
    Caps,
    CapsEvent,
    Eos,
    Event,
    Gap,
    Pad,
    Policy,
    Source,
    Stage,
    StreamStart,
    Transform,
    cpu,
    loop,
    process,
    prop,
)


class Rows:
    """A payload of several rows."""

    def __init__(self, keys: list[tuple[Any, ...]]) -> None:
        self.keys = keys

    def __getitem__(self, rows: slice) -> Rows:
        return Rows(self.keys[rows])

    @property
    def rows(self) -> int:
        return len(self.keys)

    @property
    def units(self) -> tuple[Any, ...]:
        return tuple(self.keys)

    @property
    def nbytes(self) -> int:
        return 8 * len(self.keys)


class Unit:
    """A payload with a number and a size."""

    def __init__(self, number: int, nbytes: int = 8) -> None:
        self.number, self.nbytes = number, nbytes

    @property
    def units(self) -> tuple[int]:
        return (self.number,)


class Numbers(Source):
    """Slides of items, all whole or interleaved."""

    def __init__(
        self,
        name: str = "src",
        slides: dict[str, int] | None = None,
        priorities: dict[str, int] | None = None,
        **props: Any,
    ) -> None:
        super().__init__(name, **props)
        self.slides = slides if slides is not None else {"a": 10}
        self.priorities = priorities or {}
        self.interleave = False
        self.size = 8
        self.given: list[tuple[str, int]] = []
        self.hold: asyncio.Event | None = None

    async def stream(self) -> AsyncIterator[Event]:
        for slide in self.slides:
            yield StreamStart(slide, self.priorities.get(slide, 0))
            yield CapsEvent(slide, Caps("unit", size=self.size))
        longest = max(self.slides.values(), default=0)
        order = (
            [(s, n) for n in range(longest) for s, count in self.slides.items() if n < count]
            if self.interleave
            else [(s, n) for s, count in self.slides.items() for n in range(count)]
        )
        for slide, number in order:
            self.given.append((slide, number))
            yield Buffer(slide, Unit(number, self.size))
            await asyncio.sleep(0)
        if self.hold:
            await self.hold.wait()
        for slide in self.slides:
            yield Eos(slide)


class Pass(Transform[Any, Any]):
    """Hands on, after a while, where it is told to run."""

    delay: float = prop(0.0, doc="of each call", unit="s")
    workers: int = prop(1, doc="calls at once", ge=1)
    runs_on = cpu()

    def process(self, item: Any, state: Any, pad: str = "sink") -> Any:
        if self.delay:
            time.sleep(self.delay)
        return item


class PassLoop(Pass):
    runs_on = loop()


class Fail(Transform[Any, Any]):
    """Fails on chosen numbers, a set number of times."""

    runs_on = cpu()
    on_error = Policy.GAP

    def __init__(
        self, name: str = "fail", at: tuple[int, ...] = (3,), times: int = 10**9, slide: str = "", **props: Any
    ):
        super().__init__(name, **props)
        self.at, self.times, self.slide = at, times, slide
        self.calls = 0

    def negotiate(self, caps: Caps) -> tuple[Caps, None]:
        return caps, None

    def process(self, item: Any, state: Any, pad: str = "sink") -> Any:
        self.calls += 1
        if item.number in self.at and self.times > 0:
            self.times -= 1
            raise ValueError(f"cannot do {item.number}")
        return item


class Hang(Fail):
    """Hangs on chosen numbers."""

    deadline = 0.2

    def process(self, item: Any, state: Any, pad: str = "sink") -> Any:
        if item.number in self.at:
            time.sleep(3)
        return item


class InProcess(Transform[Any, Any]):
    """Runs in a worker process; may crash, hang or answer with a large array."""

    runs_on = process(workers=1)
    on_error = Policy.GAP
    deadline = 5.0

    def __init__(self, name: str = "proc", crash: int = -1, hang: int = -1, **props: Any) -> None:
        super().__init__(name, **props)
        self.crash, self.hang = crash, hang

    def negotiate(self, caps: Caps) -> tuple[Caps, dict[str, int]]:
        return caps, {"seen": 0}

    def process(self, item: Any, state: Any, pad: str = "sink") -> Any:
        if item.number == self.crash:
            os._exit(7)
        if item.number == self.hang:
            time.sleep(60)
        return np.full((300, 300), item.number), os.getpid()


class Gather(Stage):
    """Keeps what comes, by slide; takes any number of branches."""

    sinks = {"sink_%u": Pad(Caps("ANY"), request=True)}
    runs_on = loop()

    def __init__(self, name: str = "end", **props: Any) -> None:
        super().__init__(name, **props)
        self.items: dict[str, list[Any]] = {}
        self.gaps: dict[str, list[Gap]] = {}
        self.order: list[tuple[str, Any]] = []
        self.caps: list[Caps] = []
        self.ended: list[str] = []
        self.events: list[str] = []

    def negotiate_pad(self, pad: str, caps: Caps, state: Any) -> tuple[Caps | None, Any]:
        self.caps.append(caps)
        return caps, state or {"items": []}

    def process(self, item: Any, state: Any, pad: str = "sink_0") -> None:
        state["items"].append(item)
        self.order.append(("item", item))

    def gap(self, gap: Gap, state: Any) -> None:
        state.setdefault("gaps", []).append(gap)
        self.order.append(("gap", gap))

    def finish(self, state: Any) -> None:
        self.events.append("finish")
        self.items[f"#{len(self.items)}"] = state["items"]

    def failed(self, error: BaseException, state: Any) -> None:
        self.events.append("failed")

    def cancelled(self, state: Any) -> None:
        self.events.append("cancelled")

    def close(self, state: Any) -> None:
        self.events.append("close")


class Slow(Gather):
    """A sink that takes its time."""

    delay: float = prop(0.01, doc="of each call", unit="s")
    runs_on = cpu()

    def process(self, item: Any, state: Any, pad: str = "sink_0") -> None:
        time.sleep(self.delay)
        super().process(item, state, pad)


class Split(Stage):
    """Numbers to ``a``; rows of several keys to ``b``."""

    sinks = {"sink": Pad(Caps("ANY"))}
    sources = {"a": Pad(Caps("ANY")), "b": Pad(Caps("ANY"), request=True)}
    runs_on = cpu()

    def process(self, item: Any, state: Any, pad: str = "sink") -> Any:
        yield "b", Rows([(item.number, k) for k in range(item.number % 4 + 1)])
        yield "a", item

    def gap(self, gap: Gap, state: Any) -> Any:
        return "a", gap


class Label(BatchTransform[Rows, Rows]):
    """Answers rows; may run out of memory above a number of rows, and fail on a key."""

    on_error = Policy.GAP

    def __init__(self, name: str = "label", most: int = 10**9, poison: Any = None, **props: Any) -> None:
        super().__init__(name, **props)
        self.most, self.poison = most, poison
        self.sizes: list[int] = []
        self.mixed = False

    def process_batch(self, items: Any, states: Any) -> Any:
        rows = sum(item.rows for item in items)
        if rows > self.most or any(self.poison in item.keys for item in items):
            raise MemoryError(f"{rows} rows")
        self.sizes.append(rows)
        self.mixed |= len(items) > 1
        return list(items)


class Double(Transform[Any, Any]):
    """Multiplies numbers; the same wherever it runs."""

    factor: int = prop(2, doc="by which numbers are multiplied")

    def process(self, item: Any, state: Any) -> Unit:  # type: ignore[override]
        return Unit(self.factor * item.number)
