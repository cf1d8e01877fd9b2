"""Going down: it ends whatever the stages do, and leaves nothing or says what it leaves."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import weakref

import pytest

from hema_stream.flow import Buffer, Caps, CapsEvent, Eos, Pipeline, PipelineError, StreamStart, process
from hema_stream.flow.bus import SlideEnded, StateChanged, WarningMessage
from hema_stream.flow.errors import ControlFlowError
from hema_stream.flow.stage import Sink
from stages import Double, Fail, Gather, Numbers, Pass, PassLoop, Unit


class Heeds(Numbers):
    """A source that takes no notice of being cancelled."""

    async def stream(self):
        yield StreamStart("a")
        yield CapsEvent("a", Caps("unit", size=8))
        while not self.hold.is_set():
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                continue


class Deaf(Sink):
    """A sink that takes no notice either."""

    def __init__(self, name="deaf", **props):
        super().__init__(name, **props)
        self.hold = asyncio.Event()

    async def consume(self, item, state):
        while not self.hold.is_set():
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                continue


async def warnings_of(pipeline):
    return [(m.stage, m.text) async for m in pipeline.bus if isinstance(m, WarningMessage)]


@pytest.mark.parametrize("who", ["source", "sink"])
async def test_who_does_not_heed_is_left_and_named(chain, who):
    source, sink = (Heeds(), Gather()) if who == "source" else (Numbers(), Deaf())
    deaf = source if who == "source" else sink
    deaf.hold = asyncio.Event()
    pipeline = chain(source, sink)
    await pipeline.start()
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await pipeline.stop(grace=0.2)
    assert time.monotonic() - began < 6
    assert pipeline.state == "null"
    assert any(stage == deaf.name and "left behind" in text for stage, text in await warnings_of(pipeline))
    deaf.hold.set()


async def test_threads_in_a_call_at_the_end_are_gone_after_it(chain):
    before = threading.active_count()
    for _ in range(3):
        pipeline = chain(Numbers(slides={"a": 50}), Pass("p", workers=2, delay=0.2), Gather())
        await pipeline.start()
        await asyncio.sleep(0.05)
        await pipeline.stop(0.0)
        assert any("left behind" in text for _, text in await warnings_of(pipeline))
    await until(lambda: threading.active_count() <= before)


async def test_a_stop_that_is_cancelled_goes_on_at_once(chain):
    class Long(Pass):
        def process(self, item, state, pad="sink"):
            time.sleep(1.0)

    pipeline = chain(Numbers(slides={"a": 5}), Long("long"), Gather())
    running = asyncio.create_task(pipeline.run())
    await asyncio.sleep(0.2)
    for _ in range(2):
        running.cancel()
        await asyncio.sleep(0.1)
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: pipeline.state == "null", 5)
    assert pipeline.outcomes["a"].status == "cancelled"
    await until(lambda: not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()], 5)


async def test_stop_at_once_and_again_stops_each_stage_once(chain):
    class Counts(PassLoop):
        def stop(self):
            stopped.append(self.name)

    stopped, pipeline = [], chain(Numbers(), Counts("c"), Gather())
    await pipeline.start()
    await pipeline.drain()
    await asyncio.gather(pipeline.stop(), pipeline.stop(0.1))
    await pipeline.stop()
    assert stopped == ["c"]
    states = [m.state async for m in pipeline.bus if isinstance(m, StateChanged)]
    assert states == ["ready", "paused", "playing", "paused", "ready", "null"]


async def test_before_a_start_and_after_the_end_there_is_nothing_to_do(chain):
    pipeline = chain(Numbers(), Gather())
    await pipeline.stop()
    for act in (pipeline.pause, pipeline.play):
        with pytest.raises(PipelineError, match="not running"):
            act()
    async with pipeline:
        with pytest.raises(PipelineError, match="nothing is added"):
            pipeline.add(PassLoop("late"))
        for _ in range(20):
            pipeline.pause()
            pipeline.play()
        await asyncio.wait_for(pipeline.drain(), 5)
    with pytest.raises(PipelineError, match="not running"):
        pipeline.play()
    with pytest.raises(PipelineError, match="started once"):
        await pipeline.start()
    assert pipeline.state == "null"


async def test_stop_in_the_middle_of_a_start_turns_it_round(chain):
    class Loads(Pass):
        def start(self):
            time.sleep(0.5)

        def stop(self):
            closed.append(self.name)

    closed, pipeline = [], chain(Numbers(), Loads("loads"), Pass("other"), Gather())
    starting = asyncio.create_task(pipeline.start())
    await asyncio.sleep(0.1)
    await asyncio.wait_for(pipeline.stop(), 10)
    await asyncio.gather(starting, return_exceptions=True)
    assert pipeline.state == "null"
    assert closed == ["loads"]
    assert pipeline.outcomes == {}


async def test_a_start_that_is_left_by_a_cancellation_closes_what_was_opened(chain):
    class Opens(Pass):
        def stop(self):
            closed.append(self.name)

    class Leaves(PassLoop):
        def start(self):
            raise asyncio.CancelledError

    closed = []
    with pytest.raises(ControlFlowError):
        await chain(Numbers(), Opens("opens"), Leaves("leaves"), Gather()).start()
    assert closed == ["opens"]


@pytest.mark.parametrize("base", [Pass, PassLoop])
async def test_an_exit_in_a_hook_is_an_error_wherever_it_runs(chain, run, base):
    class Exits(base):
        on_error = Fail.on_error

        def process(self, item, state, pad="sink"):
            if item.number == 1:
                raise SystemExit(3)
            return item

    end = Gather()
    assert (await run(chain(Numbers(slides={"a": 3}), Exits("exits"), end)))["a"].status == "done"
    assert [gap.reason for kind, gap in end.order if kind == "gap"] == ["SystemExit"]


async def test_a_slide_that_waits_to_be_opened_can_be_cancelled(chain):
    class Few(Numbers):
        max_open = 1

        async def stream(self):
            for slide in "ab":
                yield StreamStart(slide)
                yield CapsEvent(slide, Caps("unit", size=8))
                for number in range(3):
                    yield Buffer(slide, Unit(number))
                yield Eos(slide)

    end = Gather()
    pipeline = chain(Few(), Pass("p", delay=0.02), end)
    async with pipeline:
        await until(lambda: "a" in pipeline.slides.open)
        await pipeline.cancel("b")
        await asyncio.wait_for(pipeline.drain(), 10)
    assert {name: outcome.status for name, outcome in pipeline.outcomes.items()} == {"a": "done", "b": "cancelled"}
    assert [m.slide async for m in pipeline.bus if isinstance(m, SlideEnded)] == ["a", "b"]
    assert len(end.order) == 3


async def test_a_lazy_hook_is_closed_where_it_runs_when_its_slide_is_cancelled(chain):
    class Gives(Pass):
        def process(self, item, state, pad="sink"):
            try:
                for number in range(500):
                    yield Unit(number)
            finally:
                closed.append(threading.current_thread().name)

    class Sleeps(Gather):
        runs_on = Pass.runs_on

        def process(self, item, state, pad="sink_0"):
            time.sleep(0.005)

    closed, pipeline = [], chain(Numbers(slides={"a": 1}), Gives("gives"), Sleeps("slow"), max_items=2)
    async with pipeline:
        await asyncio.sleep(0.15)
        await pipeline.cancel("a")
        await until(lambda: bool(closed), 2)
    assert closed == ["stage-gives"]


async def test_nothing_is_held_after_a_run(chain, run):
    class Heavy(Unit):
        pass

    class Gives(PassLoop):
        def process(self, item, state, pad="sink"):
            made = Heavy(item.number)
            held.add(made)
            return made

    class Refuses(Fail):
        on_error = Pass.on_error

    class Forgets(Gather):
        def process(self, item, state, pad="sink_0"):
            pass

    held = weakref.WeakSet()
    pipeline = chain(
        Numbers(slides={"a": 5, "b": 5}), Gives("gives"), Refuses("refuses", at=(3,)), Pass("p"), Forgets("end")
    )
    outcomes = await run(pipeline)
    assert {outcome.status for outcome in outcomes.values()} == {"failed"}
    assert "cannot do 3" in "".join(outcomes["a"].error.__notes__)
    gc.collect()
    assert not held


async def test_many_starts_and_stops_leave_what_a_few_do(chain):
    async def cycle(number):
        pipeline = chain(Numbers(slides={"a": 3}), Pass("p", workers=2), PassLoop("q"), Gather())
        await pipeline.start()
        if number % 2:
            await pipeline.drain()
        await pipeline.stop(0.5)

    def standing():
        gc.collect()
        pipelines = sum(isinstance(each, Pipeline) for each in gc.get_objects())
        return threading.active_count(), len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd")), pipelines

    for number in range(10):
        await cycle(number)
    await asyncio.sleep(0.3)
    before = standing()
    for number in range(60):
        await cycle(number)
    await until(lambda: all(now <= then for now, then in zip(standing(), before, strict=True)), 5)


async def test_worker_processes_go_with_their_pipeline(chain, run):
    stage = Double("double")
    stage.runs_on = process(2)
    pipeline = chain(Numbers(slides={"a": 9}), stage, Gather())
    await pipeline.start()
    workers = [worker.process for worker in pipeline.runners["double"].executor._all]
    await pipeline.stop(0.0)
    assert not any(worker.is_alive() for worker in workers)


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_taking_leave_waits_a_little_for_the_call_in_flight(chain):
    class Works(Pass):
        def process(self, item, state, pad="sink"):
            time.sleep(0.15)
            order.append("worked")
            return item

        def negotiate(self, caps):
            return caps, "state"

        def cancelled(self, state):
            order.append("cancelled")

        def close(self, state):
            order.append("closed")

    order, stage = [], Works("works", workers=2)
    pipeline = chain(Numbers(slides={"a": 1}), stage, Gather())
    async with pipeline:
        await asyncio.sleep(0.05)
        await pipeline.cancel("a")
        assert order == ["worked", "cancelled", "closed"]


async def test_a_stage_that_does_not_stop_is_left_and_named(chain):
    class Sticks(Pass):
        def stop(self):
            go_on.wait(20)

    go_on, pipeline = threading.Event(), chain(Numbers(), Sticks("sticks"), Gather())
    await pipeline.start()
    await pipeline.drain()
    began = time.monotonic()
    await pipeline.stop(grace=0.2)
    assert time.monotonic() - began < 5
    go_on.set()
    assert ("sticks", "left behind: 1 calls that do not end") in await warnings_of(pipeline)
