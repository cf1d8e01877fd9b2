"""Batches of several slides: when they leave, and that no slide suffers for another."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from test_contract import diamond

from hema_stream.flow import Buffer, Caps, CapsEvent, Eos, Gap, Policy
from hema_stream.flow.batcher import Collector
from hema_stream.flow.events import GapEvent
from stages import Gather, Label, Numbers, Rows


def keys_of(items):
    return sorted(k for item in items if isinstance(item, Rows) for k in item.keys)


def rows_of_slide(count):
    return sorted((n, k) for n in range(count) for k in range(n % 4 + 1))


class Named(Numbers):
    """Numbers whose caps name the slide."""

    async def stream(self):
        async for event in super().stream():
            if isinstance(event, CapsEvent):
                event.caps = event.caps.with_(slide=event.slide)
            yield event


class Knows(Label):
    """A label stage that is told the slide's name."""

    def negotiate(self, caps):
        return caps, caps.slide


async def test_an_error_of_one_slides_rows_fails_that_slide_alone(run):
    class Picky(Knows):
        on_error = Policy.FAIL_SLIDE

        def process_batch(self, items, states):
            self.mixed |= len(set(states)) > 1
            if "a" in states:
                raise ValueError("rows of a")
            return list(items)

    source, label, end = Named(slides={"a": 8, "b": 8}), Picky(), Gather()
    source.interleave = True
    pipeline = diamond(source, label, end, max_batch=64, max_delay=5.0)
    outcomes = await run(pipeline)
    assert label.mixed
    assert {k: o.status for k, o in outcomes.items()} == {"a": "failed", "b": "done"}
    assert keys_of(end.items["#0"]) == rows_of_slide(8)


@pytest.mark.parametrize(("times", "gaps"), [(2, 0), (9, 1)])
async def test_retry_holds_for_batches(run, times, gaps):
    class Flaky(Label):
        on_error = Policy.retry(2)
        failing = times

        def process_batch(self, items, states):
            if self.failing:
                self.failing -= 1
                raise ValueError("not now")
            return list(items)

    label, end = Flaky(), Gather()
    await run(diamond(Numbers(slides={"a": 1}), label, end, max_batch=64, max_delay=5.0))
    assert [kind for kind, _ in end.order].count("gap") == gaps


async def test_too_few_results_are_an_error_of_the_stage(run):
    class Forgets(Label):
        def process_batch(self, items, states):
            return list(items)[:-1]

    end = Gather()
    pipeline = diamond(Numbers(slides={"a": 3}), Forgets(), end, max_batch=64, max_delay=5.0)
    assert (await run(pipeline))["a"].status == "done"
    gaps = [g for kind, g in end.order if kind == "gap"]
    assert sorted(unit for gap in gaps for unit in gap.units) == rows_of_slide(3)
    assert "gave 0 results for 1 items" in str(gaps[0].error)


async def test_the_batch_leaves_at_eos_where_no_other_open_slide_can_feed_it():
    class Holds(Numbers):
        async def stream(self):
            async for event in super().stream():
                yield event
            await asyncio.sleep(60)  # neither ended nor saying that it waits: it may open another slide any time

    label = Label()
    pipeline = diamond(Holds(slides={"a": 3}), label, Gather(), max_batch=1000, max_delay=60.0)
    async with pipeline:
        await until(lambda: "a" in pipeline.outcomes)
    assert sum(label.sizes) == 1 + 2 + 3


async def test_an_open_slide_that_can_still_feed_it_is_waited_for():
    class Holds(Numbers):
        async def stream(self):
            async for event in super().stream():
                yield event
                if isinstance(event, Eos):
                    await asyncio.sleep(60)

    label = Label()
    pipeline = diamond(Holds(slides={"a": 3, "b": 3}), label, Gather(), max_batch=1000, max_delay=60.0)
    async with pipeline:
        await asyncio.sleep(0.3)
        assert label.sizes == []
        await asyncio.wait_for(pipeline.stop(), 10)  # with rows collected, and the batcher woken as it is cancelled


async def test_caps_in_mid_stream_reach_the_stage_behind_the_batcher(run):
    class Switches(Numbers):
        async def stream(self):
            async for event in super().stream():
                if isinstance(event, Buffer) and event.item.number == 3:
                    yield CapsEvent("a", Caps("unit", size=3, slide="new"))
                yield event

    class Tells(Knows):
        def negotiate(self, caps):
            return caps, caps.get("slide", "old")

        def process_batch(self, items, states):
            time.sleep(0.02)
            self.seen += [(key[0], state) for item, state in zip(items, states, strict=True) for key in item.keys]
            return list(items)

    label = Tells()
    label.workers, label.seen = 2, []
    await run(diamond(Switches(slides={"a": 6}), label, Gather(), max_batch=4, max_delay=5.0))
    assert {number for number, state in label.seen if state == "old"} == {0, 1, 2}
    assert {number for number, state in label.seen if state == "new"} == {3, 4, 5}


async def test_cancelling_while_caps_are_negotiated_hangs_no_neighbour():
    negotiating, go_on = threading.Event(), threading.Event()

    class Slow(Knows):
        def negotiate(self, caps):
            if caps.slide == "a":
                negotiating.set()
                go_on.wait(20)
            return caps, caps.slide

    label, end = Slow(), Gather()
    label.workers = 2
    source = Named(slides={"a": 4, "b": 4})
    source.interleave = True
    pipeline = diamond(source, label, end, max_batch=64, max_delay=0.05)
    async with pipeline:
        await until(negotiating.is_set)
        await asyncio.sleep(0.3)  # a batch of both slides waits for a's caps
        cancelling = asyncio.create_task(pipeline.cancel("a"))
        await until(lambda: pipeline.outcomes.keys() == {"a", "b"})
        go_on.set()
        await cancelling
    assert pipeline.outcomes["b"].status == "done"


async def until(condition, seconds=15.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_gap_or_an_end_does_not_cut_the_batch_short(run):
    class Loses(Numbers):
        async def stream(self):
            async for event in super().stream():
                lost = isinstance(event, Buffer) and event.item.number == 1
                yield GapEvent(event.slide, Gap((1,), "lost")) if lost else event

    source, label, end = Loses(slides={"a": 4, "b": 8}), Label(), Gather()
    await run(diamond(source, label, end, max_batch=1000, max_delay=60.0, limit=64), 10)
    assert len(label.sizes) == 1
    assert len([gap for kind, gap in end.order if kind == "gap"]) == 2


def test_the_collector_forgets_a_slide_whole():
    collector = Collector(4, 1.0)
    collector.add("a", Rows([(0, 0)]), 0.0)
    collector.add("b", Rows([(1, 0)]), 1.0)
    collector.drop("a")
    assert collector.rows == 1
    assert collector.wait(1.0) == 1.0
    assert [part.slide for part in collector.take()] == ["b"]


async def test_the_limit_after_out_of_memory_grows_back_until_there_is_none(run):
    label = Label(most=4)
    pipeline = diamond(Numbers(slides={"a": 200}), label, Gather(), max_batch=8, max_delay=5.0)
    pipeline.traces.append(lambda stage, pad, event: relent(label) if stage == "end" else None)
    await run(pipeline)
    assert max(label.sizes[:4]) <= 4
    assert max(label.sizes) == 8
    assert pipeline.runners["label"].limit is None


def relent(label):
    if len(label.sizes) > 8:
        label.most = 99


async def test_rows_of_a_slide_that_is_held_do_not_wait_for_more_of_it(run):
    slides = {f"s{n}": 12 for n in range(6)}
    source, label, end = Numbers(slides=slides), Label(), Gather()
    source.interleave = True
    began = time.monotonic()
    outcomes = await run(diamond(source, label, end, max_batch=3, max_delay=5.0, limit=1), 20)
    assert {outcome.status for outcome in outcomes.values()} == {"done"}
    assert time.monotonic() - began < 4  # not one wait of five seconds
