"""The runtime's contract, line by line (docs/architecture.md); each test fails without its line."""

from __future__ import annotations

import asyncio
import time

import pytest

from hema_stream.flow import Caps, Gap, Ledger, LedgerError, NegotiationError, PipelineError, Policy, loop
from hema_stream.flow.batcher import MicroBatch
from hema_stream.flow.builtin import Tee
from hema_stream.flow.bus import ErrorMessage, SlideEnded, StateChanged, WarningMessage
from stages import (
    Double,
    Fail,
    Gather,
    Hang,
    InProcess,
    Label,
    Numbers,
    Pass,
    PassLoop,
    Rows,
    Slow,
    Split,
    Unit,
)


async def messages_of(pipeline):
    seen = []

    async def read():
        seen.extend([message async for message in pipeline.bus])

    async with pipeline:
        reading = asyncio.create_task(read())
        try:
            await asyncio.wait_for(pipeline.drain(), 20)
        finally:
            pipeline.bus.close()
            await reading
    return seen


class TestStates:  # line 1
    async def test_up_and_down_in_order(self, chain):
        seen = await messages_of(chain(Numbers(), Pass("p"), Gather()))
        assert [m.state for m in seen if isinstance(m, StateChanged)] == ["ready", "paused", "playing"]

    async def test_a_failed_step_undoes_itself(self, chain):
        closed = []

        class Opens(Pass):
            def stop(self):
                closed.append(self.name)

        class Refuses(Pass):
            def start(self):
                raise OSError("no such model")

        pipeline = chain(Numbers(), Opens("good"), Refuses("bad"), Gather())
        with pytest.raises(OSError, match="no such model"):
            await pipeline.start()
        assert closed == ["good"]
        assert pipeline.state == "null"


class TestCaps:  # line 2
    def test_an_empty_intersection_names_both_pads_and_the_field(self, chain):
        class Grey(Pass):
            accepts = Caps("unit", channels=1)

        class Colour(Pass):
            produces = Caps("unit", channels=3)

        with pytest.raises(NegotiationError, match=r"colour\.src .*grey\.sink .*'channels'"):
            chain(Numbers(), Colour("colour"), Grey("grey"))

    async def test_a_slide_that_a_stage_cannot_accept_fails_alone(self, chain, run):
        class Small(Pass):
            def negotiate(self, caps):
                if caps.size > 8:
                    raise ValueError("too large for me")
                return caps, None

        class Sizes(Numbers):
            async def stream(self):
                async for event in super().stream():
                    if hasattr(event, "caps") and event.slide == "b":
                        event.caps = Caps("unit", size=99)
                    yield event

        outcomes = await run(chain(Sizes(slides={"a": 5, "b": 5, "c": 5}), Small("small"), Gather()))
        assert {k: o.status for k, o in outcomes.items()} == {"a": "done", "b": "failed", "c": "done"}
        assert "too large" in str(outcomes["b"].error)

    async def test_caps_in_the_stream_renegotiate_in_their_place(self, chain, run):
        class Switch(Pass):
            def process(self, item, state, pad="sink"):
                return [Caps("unit", size=2), item] if item.number == 2 else item

        end = Gather()
        await run(chain(Numbers(slides={"a": 4}), Switch("switch"), end))
        assert [c.size for c in end.caps] == [8, 2]


class TestLinks:  # line 3
    async def test_put_waits_and_the_source_feels_it(self, chain):
        source, end = Numbers(slides={"a": 200}), Slow("slow", delay=0.01)
        pipeline = chain(source, PassLoop("p"), end, max_items=4)
        async with pipeline:
            await asyncio.sleep(0.3)
            ahead = len(source.given) - len(end.order)
            assert 0 < len(end.order) < 60
            assert ahead <= 4 + 4 + 4  # two links and what is in hand
            await pipeline.cancel_all()

    async def test_bytes_count_too_and_one_larger_passes_alone(self, chain, run):
        source, end = Numbers(slides={"a": 20}), Slow("slow", delay=0.001)
        source.size = 1000
        pipeline = chain(source, end, max_items=50, max_bytes=2500)
        await run(pipeline)
        assert pipeline._links[pipeline.topology.links[0]].statistics().high_water_bytes <= 2500
        source, end = Numbers(slides={"a": 5}), Gather()
        source.size = 10_000
        pipeline = chain(source, end, max_bytes=100)
        await run(pipeline)
        assert pipeline._links[pipeline.topology.links[0]].statistics().high_water == 1


class TestLeaky:  # line 4
    def test_result_bearing_links_refuse_it(self, chain):
        with pytest.raises(PipelineError, match="droppable"):
            chain(Numbers(), Gather(), leaky="downstream")

    @pytest.mark.parametrize("leaky", ["upstream", "downstream"])
    async def test_each_drop_leaves_a_gap_in_its_place(self, chain, run, leaky):
        class Droppable(PassLoop):
            produces = Caps("unit", droppable=True)

        end = Slow("slow", delay=0.005)
        from hema_stream.flow import Pipeline

        pipeline = Pipeline()
        for stage in (Numbers(slides={"a": 100}), Droppable("d"), end):
            pipeline.add(stage)
        pipeline.link("src", "d")
        pipeline.link("d", "slow", max_items=3, leaky=leaky)
        await run(pipeline)
        kept = [i.number for kind, i in end.order if kind == "item"]
        lost = [g.units[0] for kind, g in end.order if kind == "gap"]
        assert lost
        assert sorted(kept + lost) == list(range(100))
        together = [i.number if kind == "item" else i.units[0] for kind, i in end.order]
        if leaky == "upstream":
            assert together == list(range(100))
        assert pipeline.statistics()["links"]["d.src -> slow.sink_0"].dropped == len(lost)


class TestControlLane:  # line 5
    async def test_events_keep_their_place_and_need_no_room(self, chain, run):
        class Marks(PassLoop):
            def process(self, item, state, pad="sink"):
                return Gap((item.number,), "odd", "rejected") if item.number % 2 else item

        end = Slow("slow", delay=0.001)
        await run(chain(Numbers(slides={"a": 20}), Marks("marks"), end, max_items=1))
        assert [i.number if kind == "item" else i.units[0] for kind, i in end.order] == list(range(20))


class TestOrder:  # line 6
    async def test_several_workers_keep_it(self, chain, run):
        class Uneven(Pass):
            def process(self, item, state, pad="sink"):
                time.sleep(0.02 if item.number % 3 == 0 else 0.0)
                return item

        end = Gather()
        await run(chain(Numbers(slides={"a": 30}), Uneven("u", workers=4), end))
        assert [i.number for _, i in end.order] == list(range(30))

    async def test_unordered_stages_let_the_quick_pass(self, chain, run):
        class Uneven(Pass):
            ordered = False

            def process(self, item, state, pad="sink"):
                time.sleep(0.2 if item.number == 0 else 0.0)
                return item

        end = Gather()
        await run(chain(Numbers(slides={"a": 8}), Uneven("u", workers=4), end))
        numbers = [i.number for _, i in end.order]
        assert sorted(numbers) == list(range(8))
        assert numbers[0] != 0


class TestLedger:  # line 7
    def test_each_unit_ends_once_or_the_slide_fails_loudly(self):
        ledger = Ledger(range(3))
        ledger.end(0, "analysed")
        with pytest.raises(LedgerError, match="ended before"):
            ledger.end(0, "gap")
        with pytest.raises(LedgerError, match="not planned"):
            ledger.end(9, "gap")
        with pytest.raises(LedgerError, match="no outcome"):
            ledger.end(1, "vanished")
        ledger.end(1, "background")
        with pytest.raises(LedgerError, match="1 of 3 units never ended, among them 2"):
            ledger.check()
        ledger.end(2, "cancelled")
        ledger.check()
        assert sum(ledger.counts().values()) == 3


class TestFairness:  # line 8
    async def test_priority_goes_first(self, chain, run):
        source = Numbers(slides={"low": 30, "high": 30}, priorities={"high": 5})
        source.interleave = True
        end = Slow("slow", delay=0.002)
        seen = []
        pipeline = chain(source, end, max_items=60)
        pipeline.traces.append(lambda stage, pad, event: seen.append(event.slide) if hasattr(event, "item") else None)
        await run(pipeline)
        assert seen.index("high") < 4
        last_high = max(i for i, s in enumerate(seen) if s == "high")
        assert sum(s == "low" for s in seen[:last_high]) < 15

    async def test_a_slow_slide_delays_no_other(self, chain):
        class SlowOnA(Gather):
            async def nothing(self):
                return None

        class Stuck(Pass):
            def negotiate(self, caps):
                return caps, caps.get("slide")

        class Sizes(Numbers):
            async def stream(self):
                async for event in super().stream():
                    if hasattr(event, "caps"):
                        event.caps = event.caps.with_(slide=event.slide)
                    yield event

        class Late(Stuck):
            def process(self, item, state, pad="sink"):
                time.sleep(0.05 if state == "a" else 0.0)
                return item

        source = Sizes(slides={"a": 100, "b": 100})
        source.interleave = True
        pipeline = chain(source, Late("late", workers=2), Gather(), max_items=8)
        began = time.monotonic()
        ended = {}

        async def read():
            async for message in pipeline.bus:
                if isinstance(message, SlideEnded):
                    ended[message.slide] = time.monotonic() - began

        async with pipeline:
            reading = asyncio.create_task(read())
            await asyncio.wait_for(pipeline.drain(), 30)
            pipeline.bus.close()
            await reading
        assert ended.keys() == {"a", "b"}


class TestEos:  # line 9
    async def test_a_join_waits_for_all_inputs_and_drain_leaves_nothing(self, run):
        from hema_stream.flow import Pipeline

        pipeline, end = Pipeline(), Gather()
        for stage in (Numbers(slides={"a": 20}), Tee(name="tee"), Pass("quick"), Pass("late", delay=0.01), end):
            pipeline.add(stage)
        pipeline.link("src", "tee")
        for branch in ("quick", "late"):
            pipeline.link("tee", branch)
            pipeline.link(branch, "end")
        await run(pipeline)
        assert len(end.items["#0"]) == 40
        assert end.events == ["finish", "close"]
        assert pipeline.leftovers() == 0


class TestCancel:  # line 10
    async def test_one_slide_goes_and_the_others_do_not_notice(self, chain):
        source = Numbers(slides={"a": 400, "b": 40})
        source.interleave = True
        end = Slow("slow", delay=0.002)
        pipeline = chain(source, Pass("p", delay=0.002), end, max_items=4)
        async with pipeline:
            await asyncio.sleep(0.05)
            began = time.monotonic()
            await asyncio.gather(pipeline.cancel("a"), pipeline.cancel("a"))
            await pipeline.cancel("a")
            assert time.monotonic() - began < 1.0
            queued = [e for link in pipeline._links.values() for lane in link._lanes.values() for e in lane]
            assert all(event.slide != "a" for event in queued)
            await asyncio.wait_for(pipeline.drain(), 10)
        assert {k: o.status for k, o in pipeline.outcomes.items()} == {"a": "cancelled", "b": "done"}
        assert len(end.items["#0"]) == 40
        assert end.events.count("cancelled") == 1

    async def test_stop_has_a_grace_period_and_then_ends(self, chain):
        pipeline = chain(Numbers(slides={"a": 5}), Pass("p", delay=30.0), Gather())
        await pipeline.start()
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await pipeline.stop(grace=0.2)
        assert time.monotonic() - began < 8
        assert pipeline.state == "null"

    async def test_cancelling_may_emit_a_last_item(self, chain):
        class Partial(Pass):
            def negotiate(self, caps):
                return caps, {"n": 0}

            def process(self, item, state, pad="sink"):
                state["n"] += 1

            def cancelled(self, state):
                return ("partial", state["n"])

        end = Gather()
        source = Numbers(slides={"a": 5})
        source.hold = asyncio.Event()
        pipeline = chain(source, Partial("partial"), end)
        async with pipeline:
            await asyncio.sleep(0.2)
            await pipeline.cancel("a")
        assert ("item", ("partial", 5)) in end.order


class TestErrors:  # line 11
    async def test_a_gap_in_place_with_stage_slide_unit_and_cause(self, chain, run):
        end = Gather()
        await run(chain(Numbers(slides={"a": 6}), Fail(at=(2,)), end))
        assert [i.number if kind == "item" else "gap" for kind, i in end.order] == [0, 1, "gap", 3, 4, 5]
        gap = end.order[2][1]
        assert gap.units == (2,)
        assert gap.reason == "ValueError"
        assert (gap.error.stage, gap.error.slide, str(gap.error.cause)) == ("fail", "a", "cannot do 2")

    async def test_retry_tries_again(self, chain, run):
        stage = Fail(at=(2,), times=2)
        stage.on_error = Policy.retry(2)
        end = Gather()
        await run(chain(Numbers(slides={"a": 4}), stage, end))
        assert [i.number for _, i in end.order] == [0, 1, 2, 3]
        stage = Fail(at=(2,), times=3)
        stage.on_error = Policy.retry(2)
        end = Gather()
        await run(chain(Numbers(slides={"a": 4}), stage, end))
        assert [kind for kind, _ in end.order].count("gap") == 1

    async def test_fail_slide_fails_that_slide(self, chain):
        stage = Fail(at=(7,))
        stage.on_error = Policy.FAIL_SLIDE
        end = Gather()
        pipeline = chain(Numbers(slides={"a": 20, "b": 5}), stage, end)
        seen = await messages_of(pipeline)
        assert {k: o.status for k, o in pipeline.outcomes.items()} == {"a": "failed", "b": "done"}
        error = next(m for m in seen if isinstance(m, ErrorMessage))
        assert (error.stage, error.slide) == ("fail", "a")
        assert end.events.count("failed") == 1

    async def test_fail_pipeline_ends_it_and_hangs_nobody(self, chain, run):
        stage = Fail(at=(3,))
        stage.on_error = Policy.FAIL_PIPELINE
        with pytest.raises(Exception, match="cannot do 3"):
            await run(chain(Numbers(slides={"a": 50}), stage, Gather(), max_items=1), 5)

    async def test_an_error_in_mid_course_of_a_generator_is_not_lost(self, chain, run):
        class Breaks(Pass):
            on_error = Policy.GAP

            def process(self, item, state, pad="sink"):
                yield item
                for extra in range(40):
                    if extra == 30:
                        raise ValueError("half way")
                    yield Unit(100 + extra)

        end = Gather()
        await run(chain(Numbers(slides={"a": 1}), Breaks("breaks"), end))
        assert end.order[-1][0] == "gap"

    async def test_restarts_are_bounded(self, chain, run):
        stage = InProcess(crash=1)
        source = Numbers(slides={"a": 10})

        class Ones(Pass):
            runs_on = loop()

            def process(self, item, state, pad="sink"):
                return Unit(1)

        with pytest.raises(Exception, match=r"replaced 4 times"):
            await run(chain(source, Ones("ones"), stage, Gather()), 60)


class TestWatchdog:  # line 12
    async def test_a_thread_past_its_deadline_is_disowned(self, chain, run):
        end = Gather()
        began = time.monotonic()
        await run(chain(Numbers(slides={"a": 5}), Hang("hang", at=(2,)), end))
        assert time.monotonic() - began < 2.5
        assert [i.number if kind == "item" else i.reason for kind, i in end.order] == [0, 1, "timeout", 3, 4]

    async def test_a_process_past_its_deadline_is_killed_and_the_next_goes_on(self, chain, run):
        stage, end = InProcess(hang=1), Gather()
        stage.deadline = 1.0
        await run(chain(Numbers(slides={"a": 4}), stage, end), 30)
        assert [i[0][0, 0] if kind == "item" else i.reason for kind, i in end.order] == [0, "timeout", 2, 3]
        pids = {i[1] for kind, i in end.order if kind == "item"}
        assert len(pids) == 2

    async def test_a_worker_that_dies_costs_one_unit(self, chain, run):
        end = Gather()
        await run(chain(Numbers(slides={"a": 4}), InProcess(crash=2), end), 30)
        assert [i[0][0, 0] if kind == "item" else i.reason for kind, i in end.order] == [0, 1, "worker_died", 3]

    async def test_who_holds_the_loop_is_named(self, chain):
        class Holds(PassLoop):
            def process(self, item, state, pad="sink"):
                time.sleep(0.3)
                return item

        seen = await messages_of(chain(Numbers(slides={"a": 2}), Holds("holder"), Gather()))
        held = [m for m in seen if isinstance(m, WarningMessage) and "loop was held" in m.text]
        assert held
        assert "holder" in held[0].stage


class TestBus:  # line 13
    async def test_endings_are_kept_and_progress_coalesces(self):
        from hema_stream.flow.bus import Bus, Progress

        bus = Bus(limit=10)
        bus.attach(asyncio.get_running_loop())
        for number in range(1000):
            bus.post(Progress("a", "s", number))
            bus.post(WarningMessage("a", "w", "s"))
        for number in range(50):
            bus.post(SlideEnded(f"slide-{number}"))
        assert bus.pending() <= 10 + 50 + 1
        bus.close()
        seen = [message async for message in bus]
        assert sum(isinstance(m, SlideEnded) for m in seen) == 50
        assert [m.data for m in seen if isinstance(m, Progress)] == [999]
        assert bus.overflowed == 990


def diamond(source, label, end, **props):
    """Numbers straight to the join; rows through a batcher to it."""
    from hema_stream.flow import Pipeline

    limit = props.pop("limit", 8)
    pipeline = Pipeline()
    for stage in (source, Split("split"), MicroBatch("batch", **props), label, end):
        pipeline.add(stage)
    for a, b in (
        ("src", "split"),
        ("split.a", "end"),
        ("split.b", "batch"),
        ("batch", label.name),
        (label.name, "end"),
    ):
        pipeline.link(a, b, max_items=limit)
    return pipeline


class TestMicroBatcher:  # line 14
    async def test_mixes_slides_and_gives_each_its_own_back(self, run):
        source, label = Numbers(slides={"a": 40, "b": 40, "c": 3}), Label()
        source.interleave = True
        end = Gather()
        pipeline = diamond(source, label, end, max_batch=16, max_delay=5.0)
        await run(pipeline)
        assert label.mixed
        assert max(label.sizes) == 16
        for items, count in zip(end.items.values(), sorted([40, 40, 3]), strict=False):
            del count
            keys = sorted(k for item in items if isinstance(item, Rows) for k in item.keys)
            numbers = sorted(item.number for item in items if isinstance(item, Unit))
            assert keys == sorted((n, k) for n in numbers for k in range(n % 4 + 1))
        fill = pipeline.statistics()["stages"]["batch"].fill
        assert fill == pytest.approx(sum(label.sizes) / (16 * len(label.sizes)))

    async def test_leaves_when_the_oldest_is_due(self):
        source = Numbers(slides={"a": 3})
        source.hold = asyncio.Event()
        label, end = Label(), Gather()
        pipeline = diamond(source, label, end, max_batch=1000, max_delay=0.1)
        async with pipeline:
            await asyncio.sleep(0.6)
            assert sum(label.sizes) == 1 + 2 + 3

    async def test_leaves_at_once_when_nothing_is_on_its_way(self, run):
        began = time.monotonic()
        await run(diamond(Numbers(slides={"a": 3}), Label(), Gather(), max_batch=1000, max_delay=60.0), 10)
        assert time.monotonic() - began < 5

    async def test_out_of_memory_halves_then_grows_back(self, run):
        label, end = Label(most=4), Gather()
        pipeline = diamond(Numbers(slides={"a": 80}), label, end, max_batch=16, max_delay=5.0)
        await run(pipeline)
        items = end.items["#0"]
        keys = sorted(k for item in items if isinstance(item, Rows) for k in item.keys)
        assert keys == sorted((n, k) for n in range(80) for k in range(n % 4 + 1))
        assert max(label.sizes) <= 4
        assert pipeline._runners["label"].timer.calls > len(label.sizes) + 1  # it tried more again

    async def test_one_row_that_still_fails_is_a_gap(self, run):
        label, end = Label(poison=(5, 1)), Gather()
        await run(diamond(Numbers(slides={"a": 10}), label, end, max_batch=8, max_delay=5.0))
        gaps = [g for kind, g in end.order if kind == "gap"]
        assert [(tuple(g.units), g.reason) for g in gaps] == [(((5, 1),), "out-of-memory")]
        keys = sorted(k for item in end.items["#0"] if isinstance(item, Rows) for k in item.keys)
        assert keys == sorted((n, k) for n in range(10) for k in range(n % 4 + 1) if (n, k) != (5, 1))

    async def test_cancel_takes_a_slides_rows_out_of_the_batch_to_come(self):
        source = Numbers(slides={"a": 6, "b": 6})
        source.hold = asyncio.Event()
        label, end = Label(), Gather()
        pipeline = diamond(source, label, end, max_batch=1000, max_delay=60.0)
        async with pipeline:
            await asyncio.sleep(0.2)
            await pipeline.cancel("a")
            source.hold.set()
            await asyncio.wait_for(pipeline.drain(), 10)
        assert sum(label.sizes) == sum(n % 4 + 1 for n in range(6))


class TestFanOut:  # line 15
    async def test_a_tee_hands_out_references(self, run):
        from hema_stream.flow import Pipeline

        pipeline, one, two = Pipeline(), Gather("one"), Gather("two")
        for stage in (Numbers(slides={"a": 3}), Tee(name="tee"), one, two):
            pipeline.add(stage)
        pipeline.link("src", "tee")
        pipeline.link("tee", "one")
        pipeline.link("tee", "two")
        await run(pipeline)
        assert all(a is b for (_, a), (_, b) in zip(one.order, two.order, strict=True))

    async def test_a_request_pad_that_nobody_asked_for_takes_nothing(self, run):
        from hema_stream.flow import Pipeline

        pipeline, end = Pipeline(), Gather()
        for stage in (Numbers(slides={"a": 5}), Split("split"), end):
            pipeline.add(stage)
        pipeline.link("src", "split")
        pipeline.link("split.a", "end")
        await run(pipeline)
        assert [i.number for _, i in end.order] == list(range(5))

    @pytest.mark.parametrize("limit", [1, 2, 7])
    async def test_the_diamond_does_not_lock_at_any_size(self, run, limit):
        end = Gather()
        source = Numbers(slides={"a": 50, "b": 50})
        await run(diamond(source, Label(), end, max_batch=16, max_delay=0.5, limit=limit))
        assert sorted(len(items) for items in end.items.values()) != [0, 0]


class TestStatistics:  # line 16
    async def test_ports_and_stages_count(self, chain, run):
        pipeline = chain(Numbers(slides={"a": 30}), Pass("p", delay=0.002), Slow("slow", delay=0.004), max_items=4)
        await run(pipeline)
        figures = pipeline.statistics()
        link = figures["links"]["p.src -> slow.sink_0"]
        assert (link.buffers_in, link.buffers_out, link.dropped, link.depth) == (30, 30, 0, 0)
        assert 1 <= link.high_water <= 4
        assert link.bytes_in == 30 * 8
        assert link.blocked_s > 0
        stage = figures["stages"]["p"]
        assert stage.calls == 30
        assert stage.busy_s >= 0.06
        assert 0.002 <= stage.p50_s <= stage.p99_s

    async def test_traces_see_every_buffer(self, chain, run):
        pipeline, seen = chain(Numbers(slides={"a": 7}), Pass("p"), Gather()), []
        pipeline.traces.append(lambda stage, pad, event: seen.append(stage) if hasattr(event, "item") else None)
        await run(pipeline)
        assert seen.count("p") == seen.count("end") == 7


class TestMemory:  # line 18
    async def test_what_is_held_does_not_grow_with_the_slide(self, chain, run):
        for length in (50, 400):
            pipeline = chain(Numbers(slides={"a": length}), Pass("p"), Slow("slow", delay=0.0005), max_items=5)
            await run(pipeline)
            assert all(link.statistics().high_water <= 5 for link in pipeline._links.values())

    async def test_no_more_slides_are_open_than_the_source_says(self, chain):
        class Few(Numbers):
            max_open = 2

            async def stream(self):
                for slide in "abcde":
                    self.slides = {slide: 3}
                    async for event in super().stream():
                        yield event

        pipeline, most = chain(Few(), Pass("p", delay=0.005), Gather()), 0

        def watch(stage, pad, event):
            nonlocal most
            most = max(most, len(pipeline._open))

        pipeline.traces.append(watch)
        await asyncio.wait_for(pipeline.run(), 20)
        assert most == 2
        assert len(pipeline.outcomes) == 5


class TestPlacement:  # line 20
    async def test_the_same_stage_runs_on_loop_thread_and_process(self, chain, run):
        from hema_stream.flow import cpu, process

        for placement in (loop(), cpu(2), process(2)):
            stage, end = Double("double"), Gather()
            stage.runs_on = placement
            await run(chain(Numbers(slides={"a": 9}), stage, end), 30)
            assert [i.number for _, i in end.order] == [2 * n for n in range(9)]
