"""The runtime's contract, line by line (docs/architecture.md); each test fails without its line."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from hema_stream.flow import (
    Buffer,
    Caps,
    CapsEvent,
    Eos,
    Gap,
    Ledger,
    LedgerError,
    NegotiationError,
    Pad,
    Pipeline,
    Policy,
    Stage,
    StreamStart,
    cpu,
    loop,
    process,
    prop,
)
from hema_stream.flow.batcher import MicroBatch
from hema_stream.flow.builtin import Tee
from hema_stream.flow.bus import Bus, ErrorMessage, Message, Progress, SlideEnded, StateChanged, WarningMessage
from hema_stream.flow.events import GapEvent
from hema_stream.flow.link import Link
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

    async def test_stages_go_up_from_the_sinks_and_down_from_the_sources(self, chain):
        class Notes(PassLoop):
            def start(self):
                order.append(f"+{self.name}")

            def stop(self):
                order.append(f"-{self.name}")

        order = []
        pipeline = Pipeline()
        for stage in (Gather(), Notes("last"), Notes("first"), Numbers()):
            pipeline.add(stage)
        for a, b in (("src", "first"), ("first", "last"), ("last", "end")):
            pipeline.link(a, b)
        await asyncio.wait_for(pipeline.run(), 10)
        assert order == ["+last", "+first", "-first", "-last"]

    async def test_paused_it_takes_nothing_and_loses_nothing(self, chain):
        source, end = Numbers(slides={"a": 200}), Slow("slow", delay=0.002)
        pipeline = chain(source, Pass("p"), end, max_items=4)
        async with pipeline:
            await asyncio.sleep(0.05)
            pipeline.pause()
            await asyncio.sleep(0.05)  # what was in hand is put down
            before, queued = (len(source.given), len(end.order)), pipeline.leftovers()
            await asyncio.sleep(0.1)
            assert (len(source.given), len(end.order)) == before
            assert before[0] < 200
            assert pipeline.leftovers() == queued
            assert all(link.statistics().depth for link in pipeline._links.values())
            pipeline.play()
            await asyncio.wait_for(pipeline.drain(), 20)
        assert [i.number for _, i in end.order] == list(range(200))

    async def test_a_stage_that_cannot_stop_keeps_no_other_from_it(self, chain, run):
        class Sticks(PassLoop):
            def stop(self):
                raise OSError("still in use")

        pipeline = chain(Numbers(), Sticks("sticks"), Gather())
        await run(pipeline)
        assert pipeline.state == "null"
        texts = [m.text async for m in pipeline.bus if isinstance(m, WarningMessage)]
        assert any("still in use" in text for text in texts)


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

        class Scales(Pass):
            def negotiate(self, caps):
                return caps, caps.size

            def process(self, item, state, pad="sink"):
                return Unit(10 * item.number + state)

            def close(self, state):
                closed.append(state)

        end, closed = Gather(), []
        await run(chain(Numbers(slides={"a": 4}), Switch("switch"), Scales("scales"), end))
        assert [c.size for c in end.caps] == [8, 2]
        assert [i.number for _, i in end.order] == [8, 18, 22, 32]
        assert closed == [8, 2]


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


class TestShares:  # line 4
    def test_a_slide_that_fills_a_link_leaves_the_next_its_share(self):
        link = Link("a -> b", 8, 1000, lambda: None)
        while link.offer(Buffer("a", Unit(0))):
            pass
        link.pop()
        assert link.offer(Buffer("b", Unit(0)))
        for _ in range(3):
            link.pop()
            link.offer(Buffer("a", Unit(0)))
            assert link.offer(Buffer("b", Unit(0)))
        while event := link.pop():
            assert isinstance(event, Buffer)
        assert link.statistics().depth == 0

    def test_bytes_are_shared_as_items_are(self):
        link = Link("a -> b", 64, 160, lambda: None)
        while link.offer(Buffer("a", Unit(0, 40))):
            pass
        assert link.statistics().depth_bytes == 120
        assert link.offer(Buffer("b", Unit(0, 40)))
        link.pop()
        assert not link.offer(Buffer("a", Unit(0, 40)))  # two of three that fit the half of three quarters


class TestControlLane:  # line 5
    async def test_events_keep_their_place_and_need_no_room(self, chain, run):
        class Marks(PassLoop):
            def process(self, item, state, pad="sink"):
                return Gap((item.number,), "odd", "rejected") if item.number % 2 else item

        end = Slow("slow", delay=0.001)
        await run(chain(Numbers(slides={"a": 20}), Marks("marks"), end, max_items=1))
        assert [i.number if kind == "item" else i.units[0] for kind, i in end.order] == list(range(20))

    def test_events_enter_a_full_link_and_leave_it_in_their_place(self):
        link = Link("a -> b", 4, 100, lambda: None)
        events = [StreamStart("a"), CapsEvent("a", Caps("unit")), Buffer("a", Unit(0)), GapEvent("a", Gap((1,), "x"))]
        for event in [*events, Eos("a")]:
            assert link.offer(event)
        assert not link.offer(Buffer("a", Unit(2)))
        assert [link.pop() for _ in range(5)] == [*events, Eos("a")]

    async def test_gaps_wait_for_room_as_buffers_do(self, chain):
        class Nothing(PassLoop):
            def process(self, item, state, pad="sink"):
                return [Gap((item.number, k), "odd") for k in range(1000)]

        class Sleeps(Slow):
            def gap(self, gap, state):
                time.sleep(0.005)

        pipeline = chain(Numbers(slides={"a": 50}), Nothing("nothing"), Sleeps("slow"), max_items=4)
        async with pipeline:
            await asyncio.sleep(0.2)
            assert max(len(link) for link in pipeline._links.values()) <= 4 + 1
            await pipeline.cancel_all()

    async def test_cancel_overtakes_what_is_queued_and_what_waits_to_enter(self):
        link = Link("a -> b", 1, 100, lambda: None)
        link.offer(Buffer("a", Unit(0)))
        waiting = asyncio.create_task(link.put(Buffer("a", Unit(1))))
        await asyncio.sleep(0)
        link.purge("a")
        await asyncio.wait_for(waiting, 5)
        assert len(link) == link.statistics().depth == 0


class TestOrder:  # line 6
    async def test_several_workers_keep_it(self, chain, run):
        class Uneven(Pass):
            def process(self, item, state, pad="sink"):
                time.sleep(0.02 if item.number % 3 == 0 else 0.0)
                return item

        end = Gather()
        await run(chain(Numbers(slides={"a": 30}), Uneven("u", workers=4), end))
        assert [i.number for _, i in end.order] == list(range(30))


class TestLedger:  # line 7
    def test_a_plan_that_grows_is_held_to_all_of_it(self):
        ledger = Ledger(())
        ledger.plan((0, 1))
        ledger.end(0, "analysed")
        ledger.plan((2,))
        assert (ledger.planned, sorted(ledger.open())) == (3, [1, 2])
        with pytest.raises(LedgerError, match="2 of 3 units never ended"):
            ledger.check()

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

    async def test_a_slide_whose_sums_are_wrong_fails_and_the_next_does_not(self, chain, run):
        class Keeps(Pass):
            def negotiate(self, caps):
                return caps, Ledger(range(4))

            def process(self, item, state, pad="sink"):
                state.end(item.number, "analysed")

            def finish(self, state):
                state.check()

        outcomes = await run(chain(Numbers(slides={"short": 3, "whole": 4}), Keeps("keeps"), Gather()))
        assert {k: o.status for k, o in outcomes.items()} == {"short": "failed", "whole": "done"}
        assert isinstance(outcomes["short"].error.cause, LedgerError)


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

    async def test_a_slow_slide_delays_no_other_by_more_than_its_share(self):
        class Late(Stage):
            sinks = {"sink_%u": Pad(Caps("unit"), request=True)}
            sources = {"src": Pad(Caps("unit"))}
            runs_on = cpu(2)

            def process(self, item, state, pad="sink"):
                time.sleep(0.02 if item.number >= 1000 else 0.0)
                return item

        class Slowly(Numbers):
            async def stream(self):
                async for event in super().stream():
                    yield Buffer(event.slide, Unit(1000)) if isinstance(event, Buffer) else event

        pipeline, end = Pipeline(), Gather()
        for stage in (Slowly("slow", slides={"slow": 60}), Numbers("quick", slides={"quick": 15}), Late("late"), end):
            pipeline.add(stage)
        for a, b in (("slow", "late"), ("quick", "late"), ("late", "end")):
            pipeline.link(a, b, max_items=8)
        await asyncio.wait_for(pipeline.run(), 30)
        numbers = [i.number for _, i in end.order]
        last_quick = max(place for place, number in enumerate(numbers) if number < 1000)
        assert sum(number >= 1000 for number in numbers[:last_quick]) < 35  # a turn each, and what was in hand

    def test_lanes_of_one_priority_are_popped_in_turn(self):
        link = Link("a -> b", 8, 1000, lambda: None)
        for slide in "aaabbb":
            link.offer(Buffer(slide, Unit(0)))
        assert [link.pop().slide for _ in range(6)] == list("ababab")


class TestEos:  # line 9
    async def test_a_join_waits_for_all_inputs_and_drain_leaves_nothing(self, run):
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
    async def test_a_call_in_flight_is_disowned_and_its_slide_is_nowhere_at_once(self, chain):
        class Stuck(Pass):
            def process(self, item, state, pad="sink"):
                calls.append(item.number)
                go_on.wait(20)
                return item

            def finish(self, state):
                calls.append("finish")

            def close(self, state):
                calls.append("close")

            def negotiate(self, caps):
                return caps, "state"

        go_on, calls, end = threading.Event(), [], Gather()
        source = Numbers(slides={"a": 1})  # its end waits behind the call
        pipeline = chain(source, Stuck("stuck"), end, max_items=2)
        async with pipeline:
            await asyncio.sleep(0.2)
            began = time.monotonic()
            cancelling = asyncio.create_task(pipeline.cancel("a"))
            await asyncio.sleep(0.1)
            assert sum(len(link) for link in pipeline._links.values()) == 0
            await asyncio.wait_for(cancelling, 5)
            assert time.monotonic() - began < 1.0
            assert pipeline.outcomes["a"].status == "cancelled"
            assert calls == [0]
            go_on.set()
            await asyncio.sleep(0.2)
            assert calls == [0, "close"]  # freed after the call that was disowned; no hook of a slide that is over
            assert pipeline.runners["stuck"].executor._invoker.states == {}
            assert pipeline.leftovers() == 0
        assert end.order == []

    async def test_rows_that_wait_behind_a_busy_worker_go_with_their_slide(self, run):
        label, go_on = Label(), threading.Event()
        label.process_batch = lambda items, states: (go_on.wait(20), label.sizes.append(len(items)), list(items))[2]
        source = Numbers(slides={"a": 40, "b": 40})
        source.interleave = True
        pipeline = diamond(source, label, Gather(), max_batch=8, max_delay=0.01, limit=1)
        async with pipeline:
            await asyncio.sleep(0.3)
            collector = pipeline.runners["label"].collector
            assert "a" in collector
            cancelling = asyncio.create_task(pipeline.cancel("a"))
            await asyncio.sleep(0.1)
            assert "a" not in collector
            go_on.set()
            await cancelling
            await asyncio.wait_for(pipeline.drain(), 20)
        assert pipeline.outcomes["b"].status == "done"

    async def test_stop_ends_every_slide_that_is_open(self, chain):
        source, end = Numbers(slides={"a": 5}), Gather()
        source.hold = asyncio.Event()
        pipeline = chain(source, Pass("p"), end)
        await pipeline.start()
        await asyncio.sleep(0.1)
        await pipeline.stop()
        assert pipeline.outcomes["a"].status == "cancelled"
        assert end.events == ["cancelled", "close"]
        assert [m.slide async for m in pipeline.bus if isinstance(m, SlideEnded)] == ["a"]

    async def test_stop_gives_a_call_in_flight_its_grace(self, chain):
        class Writes(Pass):
            def process(self, item, state, pad="sink"):
                time.sleep(0.5)
                written.append(item.number)

            def stop(self):
                written.append("stop")

        written, source = [], Numbers(slides={"a": 1})
        pipeline = chain(source, Writes("w"), Gather())
        await pipeline.start()
        await asyncio.sleep(0.1)
        await pipeline.stop(grace=5.0)
        assert written == [0, "stop"]

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
            queued = [e for link in pipeline._links.values() for lane in link._lanes.values() for e, _ in lane.events]
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

    @pytest.mark.parametrize("place", [loop(), cpu(), process()])
    @pytest.mark.parametrize("at", [5, 30])
    async def test_a_generator_that_fails_in_mid_course_is_tried_again_and_gives_each_output_once(
        self, chain, run, place, at
    ):
        stage, end = Breaks("breaks", at=at, times=1), Gather()
        stage.runs_on, stage.on_error = place, Policy.retry(1)
        outcomes = await run(chain(Numbers(slides={"a": 1}), stage, end), 30)
        assert outcomes["a"].status == "done"
        assert [item.number for _, item in end.order] == list(range(40))

    @pytest.mark.parametrize(("at", "gaps", "status"), [(5, 1, "done"), (30, 0, "failed")])
    async def test_an_item_ends_as_its_outputs_or_as_a_gap_and_never_as_both(self, chain, run, at, gaps, status):
        end = Gather()
        outcomes = await run(chain(Numbers(slides={"a": 1}), Breaks("breaks", at=at), end))
        assert outcomes["a"].status == status
        assert [kind for kind, _ in end.order].count("gap") == gaps
        assert not gaps or len(end.order) == 1

    async def test_restarts_are_bounded(self, chain, run):
        stage = InProcess(crash=1)
        source = Numbers(slides={"a": 10})

        class Ones(Pass):
            runs_on = loop()

            def process(self, item, state, pad="sink"):
                return Unit(1)

        end = Gather()
        began = time.monotonic()
        outcomes = await run(chain(source, Ones("ones"), stage, end), 60)
        assert outcomes["a"].status == "failed"
        assert "replaced 4 times" in str(outcomes["a"].error)
        assert end.events == ["failed", "close"]
        assert time.monotonic() - began < 30

    async def test_a_slide_that_hangs_its_workers_costs_no_other(self, chain, run):
        class Marked(Numbers):
            async def stream(self):
                async for event in super().stream():
                    hangs = isinstance(event, Buffer) and event.slide == "bad"
                    yield Buffer("bad", Unit(1000)) if hangs else event

        source, stage = Marked(slides={"bad": 6, "good": 40}), Hang("hang", at=(1000,))
        source.interleave, stage.deadline = True, 0.1
        outcomes = await run(chain(source, stage, Gather()))
        assert {name: outcome.status for name, outcome in outcomes.items()} == {"bad": "failed", "good": "done"}


hold = time.sleep  # what no source should do


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

    async def test_a_source_that_holds_the_loop_is_named_too(self, chain):
        class Holds(Numbers):
            async def stream(self):
                async for event in super().stream():
                    if isinstance(event, Buffer):
                        hold(0.3)
                    yield event

        seen = await messages_of(chain(Holds("holder", slides={"a": 2}), Gather()))
        assert "holder" in {m.stage for m in seen if isinstance(m, WarningMessage) and "loop was held" in m.text}


class TestBus:  # line 13
    async def test_progress_comes_before_the_ending_that_was_posted_after_it(self):
        bus = Bus()
        for message in (Progress("a", "s", 1), StateChanged("", "x"), Progress("a", "s", 2), SlideEnded("a")):
            bus.post(message)
        bus.close()
        assert [type(m).__name__ for m in [m async for m in bus]] == ["StateChanged", "Progress", "SlideEnded"]

    async def test_messages_of_others_are_bounded_as_well(self):
        class Own(Message):
            pass

        bus = Bus(limit=3)
        for _ in range(9):
            bus.post(Own())
        assert (bus.pending(), bus.overflowed) == (3, 6)

    async def test_endings_are_kept_and_progress_coalesces(self):
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
        fill = pipeline.statistics()["stages"]["label"].fill
        assert fill == pytest.approx(sum(label.sizes) / (16 * len(label.sizes)))

    async def test_leaves_when_the_oldest_is_due(self):
        source = Numbers(slides={"a": 3})
        source.hold = asyncio.Event()
        label, end = Label(), Gather()
        pipeline = diamond(source, label, end, max_batch=1000, max_delay=0.1)
        async with pipeline:
            await asyncio.sleep(0.6)
            assert sum(label.sizes) == 1 + 2 + 3

    async def test_leaves_while_the_source_waits_and_nothing_is_on_its_way(self):
        source, label = Numbers(slides={"a": 3}), Label()
        source.hold, source.waiting = asyncio.Event(), True
        pipeline = diamond(source, label, Gather(), max_batch=1000, max_delay=60.0)
        async with pipeline:
            async with asyncio.timeout(10):
                while sum(label.sizes) < 1 + 2 + 3:
                    await asyncio.sleep(0.01)
            assert "a" not in pipeline.outcomes

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
        assert pipeline.runners["label"].timer.calls > len(label.sizes) + 1  # it tried more again

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
        pipeline, one, two = Pipeline(), Gather("one"), Gather("two")
        for stage in (Numbers(slides={"a": 3}), Tee(name="tee"), one, two):
            pipeline.add(stage)
        pipeline.link("src", "tee")
        pipeline.link("tee", "one")
        pipeline.link("tee", "two")
        await run(pipeline)
        assert all(a is b for (_, a), (_, b) in zip(one.order, two.order, strict=True))

    async def test_a_request_pad_that_nobody_asked_for_takes_nothing(self, run):
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
        assert (link.buffers_in, link.buffers_out, link.depth) == (30, 30, 0)
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
            most = max(most, len(pipeline.slides.open))

        pipeline.traces.append(watch)
        await asyncio.wait_for(pipeline.run(), 20)
        assert most == 2
        assert len(pipeline.outcomes) == 5


class TestDeterminism:  # line 17
    async def test_what_a_slide_gives_depends_neither_on_workers_nor_on_batches(self, run):
        seen = []
        for workers, max_batch, delay in ((1, 4, 0.0), (3, 16, 0.05), (2, 64, 5.0)):
            source, label, end = Numbers(slides={"a": 30, "b": 30}), Label(), ByPad()
            source.interleave, label.workers = True, workers
            await run(diamond(source, label, end, max_batch=max_batch, max_delay=delay))
            seen.append(end.rows)
        assert seen[0] == seen[1] == seen[2]
        assert len(seen[0]["sink_1"]) == 2 * sum(n % 4 + 1 for n in range(30))


class Breaks(Pass):
    """Gives forty numbers, and fails before one of them so many times."""

    on_error = Policy.GAP
    at: int = prop(0, doc="number")
    times: int = prop(1000, doc="how often")

    def process(self, item, state, pad="sink"):
        for number in range(40):
            if number == self.at and self.times:
                self.times -= 1
                raise ValueError("half way")
            yield Unit(number)


class ByPad(Gather):
    """Keeps rows by pad and sorted as reports are: by key, never by arrival."""

    def __init__(self):
        super().__init__()
        self.rows = {}

    def process(self, item, state, pad="sink_0"):
        keys = item.keys if isinstance(item, Rows) else [(item.number,)]
        self.rows[pad] = sorted([*self.rows.get(pad, []), *keys])
        super().process(item, state, pad)


class TestPlacement:  # line 20
    async def test_the_same_stage_runs_on_loop_thread_and_process(self, chain, run):
        for placement in (loop(), cpu(2), process(2)):
            stage, end = Double("double"), Gather()
            stage.runs_on = placement
            await run(chain(Numbers(slides={"a": 9}), stage, end), 30)
            assert [i.number for _, i in end.order] == [2 * n for n in range(9)]
