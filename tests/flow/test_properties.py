"""Random graphs, sizes, slowness and failures: nothing locks, nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hema_stream.flow import Gap, Pipeline
from hema_stream.flow.batcher import Collector, MicroBatch
from hema_stream.flow.builtin import Tee
from hema_stream.flow.events import Buffer, GapEvent
from hema_stream.flow.link import Link
from stages import Fail, Gather, Label, Numbers, Pass, PassLoop, Rows, Unit

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def branches(draw):
    """A fan of branches between a source and a join, each a chain of stages."""
    kinds = st.sampled_from(["loop", "thread", "threads", "slow", "fail", "batch"])
    return draw(st.lists(st.lists(kinds, min_size=0, max_size=3), min_size=1, max_size=4))


def build(fan, limit, slides, at):
    pipeline, end = Pipeline(), Gather()
    source = Numbers(slides=slides)
    source.interleave = True
    pipeline.add(source)
    pipeline.add(Tee(name="tee"))
    pipeline.add(end)
    pipeline.link("src", "tee", max_items=limit)
    for b, kinds in enumerate(fan):
        last = "tee"
        for k, kind in enumerate(kinds):
            last = add(pipeline, kind, f"s{b}{k}", last, limit, at)
        pipeline.link(last, "end", max_items=limit)
    return pipeline, end


def add(pipeline, kind, name, last, limit, at):
    if kind == "batch":
        pipeline.add(Wrap(f"{name}w"))
        pipeline.add(MicroBatch(name, max_batch=3, max_delay=0.01))
        pipeline.add(Label(f"{name}l"))
        pipeline.add(Unwrap(f"{name}u"))
        for a, b in ((last, f"{name}w"), (f"{name}w", name), (name, f"{name}l"), (f"{name}l", f"{name}u")):
            pipeline.link(a, b, max_items=limit)
        return f"{name}u"
    made = {
        "loop": lambda: PassLoop(name),
        "thread": lambda: Pass(name),
        "threads": lambda: Pass(name, workers=3),
        "slow": lambda: Pass(name, delay=0.001),
        "fail": lambda: Fail(name, at=at),
    }[kind]()
    pipeline.add(made)
    pipeline.link(last, name, max_items=limit)
    return name


class Wrap(PassLoop):
    def process(self, item, state, pad="sink"):
        return Rows([(item.number, 0)])


class Unwrap(PassLoop):
    def process(self, item, state, pad="sink"):
        return [Unit(number) for number, _ in item.keys]


@QUICK
@given(
    fan=branches(),
    limit=st.integers(1, 5),
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=3),
    at=st.tuples(st.integers(0, 12)),
)
def test_random_graphs_lose_nothing_and_double_nothing(fan, limit, counts, at):
    slides = {f"s{i}": n for i, n in enumerate(counts)}
    pipeline, end = build(fan, limit, slides, at)
    outcomes = asyncio.run(asyncio.wait_for(pipeline.run(), 20))
    assert {o.status for o in outcomes.values()} == {"done"}
    lossless = sum("fail" not in kinds for kinds in fan)
    got = sorted(item.number for items in end.items.values() for item in items)
    gaps = [g for kind, g in end.order if kind == "gap"]
    expected = sorted(n for count in counts for n in range(count)) * lossless
    lossy = [n for count in counts for n in range(count) if n not in at] * (len(fan) - lossless)
    assert got == sorted(expected + lossy)
    assert len(gaps) == (len(fan) - lossless) * sum(at[0] < count for count in counts)
    assert pipeline.leftovers() == 0


@QUICK
@given(fan=branches(), limit=st.integers(1, 3), when=st.floats(0, 0.03), seed=st.integers(0, 99))
def test_cancelling_at_any_moment_leaves_the_others_whole(fan, limit, when, seed):
    slides = {"a": 30, "b": 8}
    pipeline, end = build(fan, limit, slides, (99,))

    async def go():
        async with pipeline:
            await asyncio.sleep(when * random.Random(seed).random())
            await pipeline.cancel("a")
            await pipeline.drain()

    asyncio.run(asyncio.wait_for(go(), 20))
    assert pipeline.outcomes["b"].status == "done"
    if pipeline.outcomes["a"].status == "cancelled":
        assert [sorted(i.number for i in items) for items in end.items.values()] == [sorted([*range(8)] * len(fan))]
    assert pipeline.leftovers() == 0


@given(arrivals=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=40), most=st.integers(1, 7))
def test_the_collector_keeps_order_and_every_row(arrivals, most):
    collector, batches = Collector(most, 1.0), []
    for number, (slide, rows) in enumerate(arrivals):
        collector.add(slide, Rows([(number, k) for k in range(rows)]), float(number))
        while collector.full:
            batches.append(collector.take())
    while collector.rows:
        batches.append(collector.take())
    for slide in "ab":
        keys = [key for batch in batches for part in batch if part.slide == slide for key in part.item.keys]
        assert keys == [(n, k) for n, (s, rows) in enumerate(arrivals) if s == slide for k in range(rows)]
        assert slide not in collector
    assert all(0 < sum(part.item.rows for part in batch) <= most for batch in batches)


ACTIONS = st.one_of(
    st.tuples(st.just("offer"), st.sampled_from("abc"), st.integers(1, 40)),
    st.tuples(st.just("gap"), st.sampled_from("abc"), st.just(0)),
    st.tuples(st.just("pop"), st.just(""), st.just(0)),
    st.tuples(st.just("purge"), st.sampled_from("abc"), st.just(0)),
    st.tuples(st.just("hold"), st.sampled_from("abc"), st.just(0)),
    st.tuples(st.just("release"), st.sampled_from("abc"), st.just(0)),
)


@given(actions=st.lists(ACTIONS, max_size=60), items=st.integers(1, 5), size=st.integers(1, 60))
def test_a_link_keeps_its_bounds_its_order_and_its_accounts(actions, items, size):
    link, expected, held = Link("x -> y", items, size, lambda: None), {slide: [] for slide in "abc"}, set()
    for number, (action, slide, nbytes) in enumerate(actions):
        if action in ("offer", "gap"):
            event = Buffer(slide, Unit(number, nbytes)) if nbytes else GapEvent(slide, Gap((number,), "odd"))
            if link.offer(event):
                expected[slide].append(number)
        elif action == "pop" and (event := link.pop()):
            assert event.slide not in held
            assert number_of(event) == expected[event.slide].pop(0)
        elif action == "purge":
            link.purge(slide)
            expected[slide].clear()
            held.discard(slide)
        elif action == "hold":
            link.hold(slide)
            held.add(slide)
        elif action == "release":
            link.release(slide)
            held.discard(slide)
        figures = link.statistics()
        assert figures.depth <= items
        assert figures.depth_bytes <= size or figures.depth == 1
        assert len(link) == sum(map(len, expected.values()))
    for slide in held:
        link.release(slide)
    while event := link.pop():
        assert number_of(event) == expected[event.slide].pop(0)
    assert not any(expected.values())
    assert (link.statistics().depth, link.statistics().depth_bytes) == (0, 0)


def number_of(event):
    return event.gap.units[0] if isinstance(event, GapEvent) else event.item.number


@QUICK
@given(fan=branches(), limit=st.integers(1, 3), moments=st.lists(st.floats(0, 0.01), max_size=4))
def test_pausing_at_any_moment_loses_nothing(fan, limit, moments):
    pipeline, end = build(fan, limit, {"a": 12, "b": 5}, (99,))

    async def go():
        async with pipeline:
            for moment in moments:
                await asyncio.sleep(moment)
                pipeline.pause()
                await asyncio.sleep(0.002)
                pipeline.play()
            await pipeline.drain()

    asyncio.run(asyncio.wait_for(go(), 20))
    assert sorted(len(items) for items in end.items.values()) == sorted([12 * len(fan), 5 * len(fan)])
    assert pipeline.leftovers() == 0
