"""What is held: outputs are drawn as there is room, outcomes are bounded, shared memory is reserved and swept."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest
from test_contract import diamond

from hema_stream.flow import Policy, cpu, loop, process
from hema_stream.flow.batcher import MicroBatch
from hema_stream.flow.bus import LASTING, Bus, ErrorMessage, WarningMessage
from hema_stream.flow.shared import MEMORY, PREFIX, pack, sweep_dead
from hema_stream.flow.slides import KEPT, Outcome, Slides
from hema_stream.flow.stage import Transform
from hema_stream.flow.topology import Topology
from stages import Gather, Label, Numbers, PassLoop, Rows, Slow, Unit


class Large(Unit):
    """Counts how many of it are alive at a time."""

    alive = most = 0

    def __init__(self, number):
        super().__init__(number, 12 << 20)
        Large.alive += 1
        Large.most = max(Large.most, Large.alive)
        weakref.finalize(self, Large.gone)

    @classmethod
    def gone(cls):
        cls.alive -= 1


class Cut(Transform):
    runs_on = cpu(2)

    def process(self, item, state, pad="sink"):
        return (Large(number) for number in range(30))


@pytest.mark.parametrize("slides", [1, 6])
async def test_large_outputs_of_a_call_are_drawn_one_at_a_time(chain, slides):
    class Forgets(Gather):
        runs_on = cpu()

        def process(self, item, state, pad="sink_0"):
            time.sleep(0.002)

    Large.most = 0
    pipeline = chain(Numbers(slides={f"s{n}": 2 for n in range(slides)}), Cut("cut"), Forgets("end"))
    await asyncio.wait_for(pipeline.run(), 30)
    assert Large.most <= 4 + 2 * slides


class Draws(Transform):
    """Notes each number as it is drawn."""

    runs_on = process()

    def process(self, item, state, pad="sink"):
        for number in range(200):
            with open(self.name, "a") as file:
                file.write(".")
            yield Unit(number, 1 << 20)


async def test_outputs_in_a_process_are_drawn_as_there_is_room_too(tmp_path, monkeypatch, chain):
    monkeypatch.chdir(tmp_path)
    stage, end = Draws("drawn"), Slow("slow", delay=0.01)
    pipeline = chain(Numbers(slides={"a": 1}), stage, end)
    async with pipeline:
        async with asyncio.timeout(20):
            while len(end.order) < 5:
                await asyncio.sleep(0.01)
        drawn, taken = os.path.getsize(tmp_path / "drawn"), len(end.order)
        assert drawn - taken < 60
        await pipeline.cancel_all()


def test_outcomes_and_cancellations_that_nobody_asked_for_are_bounded():
    slides = Slides(Topology())
    for number in range(KEPT + 50):
        slides.refuse(f"never-{number}")
        slides.open[f"s{number}"] = set()
        slides.end(f"s{number}", Outcome("done"))
    assert len(slides.outcomes) == len(slides._unwanted) == KEPT
    assert not slides.is_refused("never-0")
    assert slides.is_refused("never-60")


async def test_a_bus_that_nobody_reads_is_bounded():
    bus = Bus(limit=10)
    for number in range(LASTING + 500):
        bus.post(ErrorMessage(f"s{number}", ValueError()))
    assert bus.pending() <= LASTING + 10
    assert bus.overflowed >= 490


@pytest.mark.skipif(not os.path.exists("/usr/bin/unshare"), reason="needs unshare to mount a small /dev/shm")
def test_full_shared_memory_is_an_error_of_that_call():
    code = (
        "import numpy as np, os\n"
        "from hema_stream.flow.shared import pack\n"
        "try: pack(np.ones(4 << 20, np.uint8), 'hema-flow-x-')\n"
        "except OSError as error: print(error.errno, os.listdir('/dev/shm'))\n"
    )
    mount = f'mount -t tmpfs -o size=1m none /dev/shm && exec {sys.executable} -c "$CODE"'
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", mount],
        capture_output=True,
        text=True,
        env={**os.environ, "CODE": code},
        check=False,
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert (done.returncode, done.stdout.strip()) == (0, "28 []"), done.stderr


def test_what_a_killed_process_left_in_shared_memory_is_swept():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    _, left, _ = pack(np.ones(1 << 20, np.uint8), f"{PREFIX}{gone.pid}-1-")
    _, own, _ = pack(np.ones(1 << 20, np.uint8), f"{PREFIX}{os.getpid()}-1-")
    sweep_dead()
    assert not os.path.exists(left)
    assert os.path.exists(own)
    os.unlink(own)
    assert MEMORY.is_dir()


class HoldsInterpreter(PassLoop):
    """Holds the interpreter in one call that never lets go of it."""

    def process(self, item, state, pad="sink"):
        re.fullmatch(r"(a|aa)+b", "a" * 34)
        return item


@pytest.mark.parametrize("place", [loop(), cpu()])
async def test_who_holds_the_interpreter_is_named(chain, place):
    stage = HoldsInterpreter("holder")
    stage.runs_on = place
    pipeline = chain(Numbers(slides={"a": 1}), stage, Gather())
    async with pipeline:
        await asyncio.wait_for(pipeline.drain(), 60)
        await asyncio.sleep(0.3)
    held = [message async for message in pipeline.bus if isinstance(message, WarningMessage) and "held" in message.text]
    assert any("holder" in message.stage for message in held)


async def test_one_row_that_is_too_much_is_a_gap_whatever_the_policy(run):
    class Strict(Label):
        on_error = Policy.FAIL_SLIDE

    end = Gather()
    outcomes = await run(diamond(Numbers(slides={"a": 10}), Strict(poison=(5, 1)), end, max_batch=8))
    assert outcomes["a"].status == "done"
    assert [gap.units for kind, gap in end.order if kind == "gap"] == [((5, 1),)]


async def test_a_batch_written_with_yield_runs_where_the_stage_runs(run):
    class Yields(Label):
        def process_batch(self, items, states):
            for item in items:
                seen.add(threading.current_thread().name)
                yield item

    seen = set()
    await run(diamond(Numbers(slides={"a": 5}), Yields(), Gather(), max_batch=8))
    assert seen == {"stage-label"}


async def test_results_that_wait_behind_a_batch_are_bounded(chain):
    class Wraps(PassLoop):
        def process(self, item, state, pad="sink"):
            return Rows([(item.number, 0)])

    label = Label()
    stages = (Numbers(slides={"a": 300}), Wraps("wraps"), MicroBatch("b", max_batch=4), label, Slow("slow", delay=0.02))
    pipeline = chain(*stages, max_items=2)
    async with pipeline:
        await asyncio.sleep(0.4)
        assert 1 <= len(pipeline.runners["label"].slides["a"].jobs) <= 2 * 4
        await pipeline.cancel_all()


async def test_what_a_thread_posts_is_heard_at_once():
    bus = Bus()
    bus.attach(asyncio.get_running_loop())
    reading = asyncio.create_task(anext(aiter(bus)))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    threading.Timer(0.1, bus.post, args=(ErrorMessage("a", ValueError()),)).start()
    await asyncio.wait_for(reading, 3)
    assert time.monotonic() - began < 1
