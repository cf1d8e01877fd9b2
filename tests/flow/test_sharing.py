"""Slides beside slides: a slow, hanging or large one costs the others its share, at every place where they meet."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from hema_stream.flow import Buffer, Caps, CapsEvent, Eos, Pad, Policy, Source, Stage, StreamStart, cpu, process
from hema_stream.flow.batcher import MicroBatch
from hema_stream.flow.bus import SlideEnded, WarningMessage
from hema_stream.flow.events import GapEvent
from hema_stream.flow.link import Link
from hema_stream.flow.stage import Sink, Transform
from hema_stream.flow.turns import Turns, Usage
from stages import Gather, Label, Numbers, Pass, PassLoop, Rows, Unit


class Script(Source):
    """Yields what it is given."""

    def __init__(self, name, events):
        super().__init__(name)
        self.events = events

    async def stream(self):
        for event in self.events:
            yield event
            await asyncio.sleep(0)


class Late(Transform):
    """Takes its time for numbers from 1000 on."""

    runs_on = cpu(2)

    def process(self, item, state, pad="sink"):
        time.sleep(0.03 if item.number >= 1000 else 0)
        return item


def opening(*slides):
    return [event for slide in slides for event in (StreamStart(slide), CapsEvent(slide, Caps("unit")))]


async def ended(pipeline, slide, seconds=30.0):
    """Seconds until a slide has ended."""
    began = time.monotonic()
    async with pipeline:
        async with asyncio.timeout(seconds):
            async for message in pipeline.bus:
                if isinstance(message, SlideEnded) and message.slide == slide:
                    break
        took = time.monotonic() - began
        await pipeline.cancel_all()
    return took


async def test_where_bytes_bind_a_slide_that_waits_leaves_the_others_their_share(chain):
    class Waits(Sink):
        async def consume(self, item, state):
            if item.number >= 1000:
                await asyncio.sleep(0.05)

    class Join(Stage):
        sinks = {"sink_%u": Pad(Caps("ANY"), request=True)}
        sources = {"src": Pad(Caps("ANY"))}

        def process(self, item, state, pad="sink"):
            return item

    def script(slide, number, count):
        return Script(slide, [*opening(slide), *[Buffer(slide, Unit(number, 4 << 20))] * count, Eos(slide)])

    pipeline = chain()
    for stage in (script("slow", 1000, 200), script("quick", 1, 60), Join("join"), Waits("end")):
        pipeline.add(stage)
    for a, b in (("slow", "join"), ("quick", "join"), ("join", "end")):
        pipeline.link(a, b)
    assert await ended(pipeline, "quick") < 2.0  # behind the slow one it took 10


async def test_one_source_of_two_slides_goes_on_with_one_while_the_other_has_no_room(chain):
    between = [event for n in range(60) for event in (Buffer("slow", Unit(1000)), Buffer("quick", Unit(n)))]
    events = [*opening("slow", "quick"), *between, Eos("quick"), Eos("slow")]
    pipeline = chain(Script("src", events), Late("late"), Gather(), max_items=8)
    assert await ended(pipeline, "quick") < 0.9  # the slow one's calls take as long on both workers
    assert pipeline.outcomes["slow"].status == "cancelled"


async def test_what_a_source_sets_aside_keeps_its_order_and_is_bounded(chain):
    slow = [Buffer("slow", Unit(1000 + n)) for n in range(150)]
    source = Script("src", [*opening("slow", "quick"), *slow, Eos("slow"), Eos("quick")])
    end = Gather()
    pipeline = chain(source, Late("late"), end, max_items=8)
    most = 0

    def watch(stage, pad, event):
        nonlocal most
        most = max(most, pipeline.runners["src"]._events_aside)

    pipeline.traces.append(watch)
    outcomes = await asyncio.wait_for(pipeline.run(), 30)
    assert {outcome.status for outcome in outcomes.values()} == {"done"}
    assert [item.number for _, item in end.order] == list(range(1000, 1150))
    assert 8 < most <= 64


async def test_a_large_buffer_is_not_overtaken_for_ever():
    link = Link("a -> b", 64, 100, lambda: None)
    for _ in range(5):
        link.offer(Buffer("small", Unit(0, 20)))
    large = asyncio.create_task(link.put(Buffer("large", Unit(1, 90))))

    async def small():
        while True:
            await link.put(Buffer("small", Unit(0, 20)))

    others = asyncio.create_task(small())
    for _ in range(400):
        await asyncio.sleep(0)
        link.pop()
    others.cancel()
    assert large.done()
    assert link.statistics().high_water_bytes <= 100 + 90


async def test_a_low_slide_has_one_of_eight_turns(chain):
    class Urgent(Source):
        async def stream(self):
            yield StreamStart("low", 0)
            yield CapsEvent("low", Caps("unit"))
            for number in range(10):
                yield Buffer("low", Unit(number))
            yield Eos("low")
            for slide in (f"high{n}" for n in range(40)):
                yield StreamStart(slide, 1)
                yield CapsEvent(slide, Caps("unit"))
                for number in range(10):
                    yield Buffer(slide, Unit(number))
                yield Eos(slide)

    pipeline, order = chain(Urgent("src"), Pass("work", delay=0.001), Gather()), []
    async with pipeline:
        await asyncio.wait_for(pipeline.drain(), 30)
        pipeline.bus.close()
        order = [message.slide async for message in pipeline.bus if isinstance(message, SlideEnded)]
    assert order.index("low") < 20


def test_turns_go_by_the_time_that_was_worked():
    usage = Usage()
    turns = Turns(usage)
    turns.add("slow", 0)
    turns.add("quick", 0)
    taken = []
    for _ in range(200):
        slide = turns.next()
        taken.append(slide)
        usage.charge(slide, 0.05 if slide == "slow" else 0.001)
    assert 3 <= taken.count("slow") <= 6
    turns.add("new", 0)
    assert usage.of("new") >= min(usage.of("slow"), usage.of("quick")) - 0.1  # it has nothing saved up


class Told(Transform):
    """Sleeps as long as its items say, in a process."""

    runs_on = process(3)
    deadline = 60.0

    def negotiate(self, caps):
        return caps, caps.get("label")

    def process(self, item, state, pad="sink"):
        time.sleep(item.number / 1000)
        return item


async def test_a_slide_opens_in_processes_while_another_ones_call_is_long(chain):
    class Opens(Source):
        async def stream(self):
            for event in opening("long", "b"):
                yield event
            yield Buffer("long", Unit(2500))
            for number in range(50):
                yield Buffer("b", Unit(5))
                await asyncio.sleep(0.02)
                if number == 10:
                    for event in opening("c"):
                        yield event
                    yield Eos("c")
            for slide in ("long", "b"):
                yield Eos(slide)

    pipeline, at = chain(Opens("src"), Told("told"), Gather()), []
    pipeline.traces.append(
        lambda stage, pad, event: at.append((event.slide, time.monotonic())) if stage == "end" else None
    )
    await asyncio.wait_for(pipeline.run(), 60)
    moments = [moment for slide, moment in at if slide == "b"]
    assert max(b - a for a, b in pairwise(moments[2:])) < 1.5
    assert max(moment for slide, moment in at if slide == "c") < max(moment for slide, moment in at if slide == "long")


async def test_an_urgent_slide_waits_for_one_batch_not_for_all_that_are_queued(chain):
    class Slow(Label):
        def process_batch(self, items, states):
            time.sleep(0.02)
            return list(items)

    class Later(Source):
        async def stream(self):
            for event in opening("low"):
                yield event
            for number in range(1000):
                if number == 500:
                    self.began = time.monotonic()
                    yield StreamStart("high", 9)
                    yield CapsEvent("high", Caps("u"))
                    yield Buffer("high", Rows([(number, 0)]))
                    yield Eos("high")
                yield Buffer("low", Rows([(number, 0)]))
            yield Eos("low")

    source = Later("src")
    pipeline = chain(source, MicroBatch("b", max_batch=8, max_delay=0.01), Slow("l"), Gather())
    await ended(pipeline, "high")
    assert time.monotonic() - source.began < 1.0  # 64 batches of 20 ms take 1.3 s


@pytest.mark.parametrize("place", [cpu(1), process(1)])
async def test_a_batch_that_hangs_is_done_again_slide_by_slide(chain, place):
    stage = HangsFor("hangs")
    stage.runs_on = place
    source, end = Numbers(slides={"bad": 2, "good": 6}), Gather()
    source.interleave = True

    class Marks(PassLoop):
        def process(self, item, state, pad="sink"):
            return Rows([(state, item.number)])

        def negotiate(self, caps):
            return caps, caps.get("slide")

    class Named(Script):
        async def stream(self):
            async for event in source.stream():
                if isinstance(event, CapsEvent):
                    event.caps = event.caps.with_(slide=event.slide)
                yield event

    pipeline = chain(Named("src", []), Marks("marks"), MicroBatch("b", max_batch=64, max_delay=5.0), stage, end)
    outcomes = await asyncio.wait_for(pipeline.run(), 60)
    assert outcomes["good"].status == "done"
    assert sorted(key for kind, item in end.order if kind == "item" for key in item.keys) == [
        ("good", n) for n in range(6)
    ]
    assert {gap.reason for kind, gap in end.order if kind == "gap"} == {"timeout"}


class HangsFor(Label):
    deadline = 0.5
    on_error = Policy.GAP

    def process_batch(self, items, states):
        if any(key[0] == "bad" for item in items for key in item.keys):
            time.sleep(3)
        return list(items)


STRAYS = [
    ([Buffer("A", Unit(1)), Eos("a")], "Buffer of a slide that was not started", "done"),
    ([Eos("a"), Buffer("a", Unit(1))], "Buffer of a slide that had its eos", "done"),
    ([Eos("a"), Eos("a")], "Eos of a slide that had its eos", "done"),
    ([StreamStart("a"), Eos("a")], "started twice", "failed"),
]


@pytest.mark.parametrize(("events", "text", "status"), STRAYS)
async def test_what_belongs_to_no_slide_is_a_warning(chain, events, text, status):
    pipeline = chain(Script("src", [*opening("a"), Buffer("a", Unit(0)), *events]), PassLoop("p"), Gather())
    outcomes = await asyncio.wait_for(pipeline.run(), 10)
    assert outcomes["a"].status == status
    warnings = [message.text async for message in pipeline.bus if isinstance(message, WarningMessage)]
    assert [text in warning for warning in warnings] == [True]


async def test_an_error_far_down_reaches_the_source(chain):
    class Endless(Numbers):
        async def stream(self):
            try:
                for event in opening("a", "b"):
                    yield event
                number = 0
                while True:
                    self.given.append(("a", number))
                    yield Buffer("a", Unit(number))
                    number += 1
            finally:
                closed.append("source")

    class Fails(PassLoop):
        on_error = Policy.FAIL_PIPELINE

        def process(self, item, state, pad="sink"):
            if item.number == 500:
                raise ValueError("far down")
            return item

    closed, source = [], Endless()
    pipeline = chain(source, PassLoop("p"), PassLoop("q"), Fails("fails"), Gather())
    with pytest.raises(Exception, match="far down"):
        await asyncio.wait_for(pipeline.run(), 10)
    assert closed == ["source"]
    assert {outcome.status for outcome in pipeline.outcomes.values()} == {"failed"}
    assert not any(isinstance(event, GapEvent) for event in source.given)


async def test_a_trace_hook_that_raises_is_told_of_and_left_out(chain, run):
    def broken(stage, pad, event):
        raise ZeroDivisionError

    end = Gather()
    pipeline = chain(Numbers(slides={"a": 5}), PassLoop("p"), end)
    pipeline.traces.append(broken)
    assert (await run(pipeline))["a"].status == "done"
    warnings = [message async for message in pipeline.bus if isinstance(message, WarningMessage)]
    assert ["trace hook" in message.text for message in warnings] == [True]
    assert len(end.order) == 5


async def test_a_closer_that_raises_harms_nothing_else(chain, run):
    class Closes(Pass):
        def negotiate(self, caps):
            return caps, "state"

        def close(self, state):
            raise OSError("still open")

    pipeline = chain(Numbers(slides={"a": 5, "b": 2}), Closes("closes"), Gather())
    assert {outcome.status for outcome in (await run(pipeline)).values()} == {"done"}
    warnings = [message async for message in pipeline.bus if isinstance(message, WarningMessage)]
    assert [(message.stage, "still open" in message.text) for message in warnings] == [("closes", True)] * 2


async def test_what_a_stage_gives_in_taking_leave_is_seen_and_counted(chain):
    class Partial(Pass):
        def negotiate(self, caps):
            return caps, {}

        def process(self, item, state, pad="sink"):
            pass

        def cancelled(self, state):
            return Unit(99)

    source, end, seen = Numbers(slides={"a": 3}), Gather(), []
    source.hold = asyncio.Event()
    pipeline = chain(source, Partial("partial"), PassLoop("mid"), end)
    pipeline.traces.append(lambda stage, pad, event: seen.append(stage) if isinstance(event, Buffer) else None)
    async with pipeline:
        await asyncio.sleep(0.2)
        await pipeline.cancel("a")
        figures = pipeline.statistics()
    assert seen[-2:] == ["mid", "end"]
    assert figures["stages"]["mid"].calls == 1
    assert figures["links"]["mid.src -> end.sink_0"].buffers_in == 1
