"""Sources that end early, wait, raise, or are several."""

from __future__ import annotations

import asyncio

import pytest

from hema_stream.flow import Buffer, CapsEvent, Eos, Gap, Pipeline, Stage, StageError, StreamStart
from hema_stream.flow.builtin import Funnel
from hema_stream.flow.events import GapEvent
from hema_stream.flow.stage import Pad, Sink
from stages import Caps, Gather, Numbers, Pass, PassLoop, Unit, loop


async def test_a_gap_from_the_source_is_passed_on(chain, run):
    class Loses(Numbers):
        async def stream(self):
            async for event in super().stream():
                lost = isinstance(event, Buffer) and event.item.number == 1
                yield GapEvent("a", Gap((1,), "lost")) if lost else event

    end = Gather()
    await run(chain(Loses(slides={"a": 3}), end))
    assert [i.number if kind == "item" else i.reason for kind, i in end.order] == [0, "lost", 2]


async def test_a_source_that_forgets_the_end_fails_the_slide_and_hangs_nobody(chain, run):
    class Forgets(Numbers):
        async def stream(self):
            async for event in super().stream():
                if not (isinstance(event, Eos) and event.slide == "a"):
                    yield event

    outcomes = await run(chain(Forgets(slides={"a": 3, "b": 3}), Gather()), 10)
    assert {k: o.status for k, o in outcomes.items()} == {"a": "failed", "b": "done"}
    assert "without the slide's eos" in str(outcomes["a"].error)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), ValueError("broken")])
async def test_a_source_that_raises_anything_fails_the_pipeline(chain, run, error):
    class Raises(Numbers):
        async def stream(self):
            yield StreamStart("a")
            raise error

    with pytest.raises(StageError, match="stage src"):
        await run(chain(Raises(), Gather()), 10)


async def test_what_is_no_event_is_refused(chain, run):
    class Odd(Numbers):
        async def stream(self):
            yield 7

    with pytest.raises(StageError, match="yields events, not int"):
        await run(chain(Odd(), Gather()), 10)


async def test_told_to_stop_it_takes_open_slides_to_their_end(chain):
    class Overlaps(Numbers):
        async def stream(self):
            for slide in ("a", "b"):
                yield StreamStart(slide)
                yield CapsEvent(slide, Caps("unit", size=8))
                yield Buffer(slide, Unit(0))
            for slide in ("a", "b"):
                await begun.wait()
                yield Eos(slide)
            yield StreamStart("c")

    begun, end = asyncio.Event(), Gather()
    pipeline = chain(Overlaps(), end)
    async with pipeline:
        await asyncio.sleep(0.1)
        pipeline.stop_sources()
        begun.set()
        await asyncio.wait_for(pipeline.drain(), 5)
    assert {k: o.status for k, o in pipeline.outcomes.items()} == {"a": "done", "b": "done"}


async def test_told_to_stop_while_it_waits_the_pipeline_is_drained(chain):
    source = Numbers(slides={})
    source.hold = asyncio.Event()
    pipeline = chain(source, Gather())
    async with pipeline:
        await asyncio.sleep(0.05)
        pipeline.stop_sources()
        await asyncio.wait_for(pipeline.drain(), 5)


async def test_slides_of_two_sources_end_though_they_come_by_one_pad_each(run):
    pipeline, end = Pipeline(), Gather()
    for stage in (Numbers("one", slides={"a": 5}), Numbers("two", slides={"b": 4}), PassLoop("p"), end):
        pipeline.add(stage)
    pipeline.link("one", "p")
    pipeline.link("p", "end")
    pipeline.link("two", "end")
    outcomes = await run(pipeline, 10)
    assert {k: o.status for k, o in outcomes.items()} == {"a": "done", "b": "done"}
    assert sorted(len(items) for items in end.items.values()) == [4, 5]


async def test_items_before_their_caps_fail_the_slide(chain, run):
    class Hasty(Numbers):
        async def stream(self):
            async for event in super().stream():
                if not isinstance(event, CapsEvent):
                    yield event

    outcomes = await run(chain(Hasty(slides={"a": 3}), PassLoop("p"), Gather()), 10)
    assert outcomes["a"].status == "failed"
    assert "before its caps" in str(outcomes["a"].error)


async def test_a_source_that_never_waits_lets_the_others_have_their_turn(chain, run):
    class Busy(Numbers):
        async def stream(self):
            yield StreamStart("a")
            yield CapsEvent("a", Caps("unit", size=8))
            while not beside.done():
                self.given.append(("a", 0))
                yield Buffer("a", Unit(0))
            yield Eos("a")

    beside = asyncio.create_task(asyncio.sleep(0.01))
    assert (await run(chain(Busy(), Gather()), 10))["a"].status == "done"


class Writes(Sink):
    """A sink that awaits; the first item takes longest."""

    runs_on = loop()

    def __init__(self, name="writes", **props):
        super().__init__(name, **props)
        self.written = []

    async def consume(self, item, state):
        if item.number == 6:
            raise asyncio.CancelledError
        await asyncio.sleep({0: 0.1, 5: 60.0}.get(item.number, 0.0))
        self.written.append(item.number)


async def test_a_sink_that_awaits_gets_one_item_at_a_time_and_has_a_deadline(chain):
    sink = Writes()
    sink.deadline = 0.5
    sink.on_error = Stage.on_error.GAP
    pipeline = chain(Numbers(slides={"a": 9}), sink)
    outcomes = await asyncio.wait_for(pipeline.run(), 10)
    assert outcomes["a"].status == "done"
    assert sink.written == [0, 1, 2, 3, 4, 7, 8]
    assert pipeline.statistics()["stages"]["writes"].failures == 2


async def test_an_item_for_a_pad_that_is_not_there_is_an_error(chain, run):
    class Typo(Stage):
        sinks = {"sink": Pad(Caps("ANY"))}
        sources = {"one": Pad(Caps("ANY")), "two": Pad(Caps("ANY"), request=True)}

        def process(self, item, state, pad="sink"):
            return "tow", item

    outcomes = await run(chain(Numbers(slides={"a": 1}), Typo("typo"), Gather()), 10)
    assert "no source pad 'tow'" in str(outcomes["a"].error)


async def test_caps_that_a_stage_did_not_promise_fail_the_slide(chain, run):
    class Breaks(PassLoop):
        produces = Caps("unit", channels=3)

        def negotiate(self, caps):
            return caps.with_(channels=1), None

    outcomes = await run(chain(Numbers(slides={"a": 1}), Breaks("breaks"), Gather()), 10)
    assert "'channels' differs" in str(outcomes["a"].error)


async def test_a_funnel_lets_slides_in_from_several_branches_with_gaps_and_caps_in_their_places(run):
    class Loses(Numbers):
        async def stream(self):
            async for event in super().stream():
                lost = isinstance(event, Buffer) and event.item.number == 1
                yield GapEvent(event.slide, Gap((1,), "lost")) if lost else event

    pipeline, end = Pipeline(), Gather()
    for stage in (Loses("first", slides={"a": 3}), Numbers("second", slides={"b": 4, "c": 0}), Funnel("join"), end):
        pipeline.add(stage)
    pipeline.link("first.src", "join")
    pipeline.link("second.src", "join")
    pipeline.link("join.src", end.name)
    outcomes = await run(pipeline, 10)
    assert {name: outcome.status for name, outcome in outcomes.items()} == dict.fromkeys("abc", "done")
    assert sorted(str(getattr(item, "number", "lost")) for _, item in end.order) == [
        "0",
        "0",
        "1",
        "2",
        "2",
        "3",
        "lost",
    ]


async def test_told_to_stop_while_it_waits_for_a_slide_to_end_it_is_not_held_up(chain):
    class Few(Numbers):
        max_open = 1

        async def stream(self):
            for slide in "ab":
                yield StreamStart(slide)
                yield CapsEvent(slide, Caps("unit", size=8))
                yield Buffer(slide, Unit(0))
                self.given.append(slide)
                yield Eos(slide)

    source = Few()
    pipeline = chain(source, Pass("p", delay=1.0), Gather())
    async with pipeline:
        await asyncio.sleep(0.1)
        assert source.given == ["a"]
        pipeline.stop_sources()
        await asyncio.sleep(0.1)
        assert pipeline.runners["src"].exhausted
        assert not pipeline.runners["src"]._waiting
        await asyncio.wait_for(pipeline.drain(), 10)
    assert list(pipeline.outcomes) == ["a"]
