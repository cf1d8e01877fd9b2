"""Threads and processes: what hangs, dies or misbehaves costs its own call and nothing else."""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from hema_stream.flow import Caps, Transform, process
from hema_stream.flow.errors import (
    ControlFlowError,
    DeadlineExceededError,
    PipelineError,
    RestartsSpentError,
    WorkerDiedError,
    WorkerError,
)
from hema_stream.flow.executors import LoopExecutor
from hema_stream.flow.invoke import outputs_of
from hema_stream.flow.processes import ProcessExecutor
from hema_stream.flow.threads import ThreadExecutor
from stages import InProcess, Pass, Unit


class Awkward(Exception):  # noqa: N818  named by what it is like
    """Comes out of a pickle with an error of its own."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Moody(Transform):
    """Does what its items say; in a process as well."""

    runs_on = process(2)
    deadline = 5.0

    def start(self):
        if self.name == "refuses":
            raise OSError("no such model")

    def negotiate(self, caps):
        if caps.get("hang"):
            time.sleep(30)
        return caps, caps.get("label")

    def process(self, item, state, pad="sink"):
        if item == "stop-iteration":
            return next(iter(()))
        if item == "cancelled":
            raise asyncio.CancelledError
        if item == "other-cancelled":
            raise concurrent.futures.CancelledError
        if item == "exit":
            sys.exit(3)
        if item == "awkward":
            raise Awkward(1, 2)
        if isinstance(item, float):
            time.sleep(item)
        return state, os.getpid()

    def stop(self):
        if "/" in self.name:
            with open(self.name, "a") as file:
                file.write("stopped\n")


MISCHIEF = [
    ("stop-iteration", "StopIteration"),
    ("cancelled", "CancelledError"),
    ("other-cancelled", "CancelledError"),
    ("exit", "SystemExit"),
]


@pytest.mark.parametrize(("item", "said"), MISCHIEF)
async def test_what_looks_like_control_flow_is_an_error_in_a_thread(item, said):
    executor = ThreadExecutor(Moody("m"), 1)
    with pytest.raises(ControlFlowError, match=said):
        await asyncio.wait_for(executor.call("process", "a", item, "sink", deadline=10.0), 5)
    await executor.close()


async def test_what_looks_like_control_flow_is_an_error_on_the_loop():
    executor = LoopExecutor(Moody("m"))
    for call in (lambda: executor.call("process", "a", "cancelled", "sink"), lambda: lazily(executor)):
        with pytest.raises(ControlFlowError, match="CancelledError"):
            await call()
    with pytest.raises(ControlFlowError):
        executor.invoker.process("a", "cancelled", "sink")


async def lazily(executor):
    def leaves():
        yield 1
        raise asyncio.CancelledError

    return await executor.pull(outputs_of(leaves()))


async def test_what_looks_like_control_flow_is_an_error_in_a_process_and_the_worker_stays():
    executor = ProcessExecutor(Moody("m"), 1)
    await executor.open()
    _, before = (await executor.call("process", "a", 0.0, "sink")).items[0]
    for item, said in MISCHIEF:
        with pytest.raises(ControlFlowError, match=said):
            await asyncio.wait_for(executor.call("process", "a", item, "sink"), 5)
    with pytest.raises(WorkerError, match="Awkward: 1 and 2"):
        await executor.call("process", "a", "awkward", "sink")
    _, after = (await executor.call("process", "a", 0.0, "sink")).items[0]
    assert before == after
    await executor.close()


async def test_slides_that_negotiate_at_once_do_not_lock_each_other():
    executor = ProcessExecutor(Moody("m"), 2)
    await executor.open()
    busy = [asyncio.create_task(executor.call("process", "x", 0.05 + 0.1 * n, "sink")) for n in range(2)]
    await asyncio.sleep(0.01)
    slides = [f"s{n}" for n in range(4)]
    await asyncio.wait_for(
        asyncio.gather(*(executor.call("negotiate", s, "sink", Caps("unit", label=s)) for s in slides)), 10
    )
    await asyncio.gather(*busy)
    for slide in slides:
        assert (await executor.call("process", slide, 0.0, "sink")).items[0][0] == slide
    await asyncio.wait_for(asyncio.gather(*(executor.release(slide) for slide in slides)), 10)
    await executor.close()


async def test_a_question_that_hangs_in_all_workers_counts_as_one_restart():
    stage = Moody("m")
    stage.deadline = 0.5
    executor = ProcessExecutor(stage, 5)
    await executor.open()
    stage.deadline = 0.3
    with pytest.raises(DeadlineExceededError):
        await executor.call("negotiate", "bad", "sink", Caps("unit", hang=True))
    await executor.release("bad")
    assert (await executor.call("process", "a", 0.0, "sink", deadline=20.0)).items
    await executor.close()


async def test_a_worker_that_cannot_be_replaced_fails_the_pipeline():
    executor = ProcessExecutor(InProcess(crash=1), 1)
    await executor.open()
    executor._stage = Moody("refuses")
    with pytest.raises(WorkerDiedError):
        await executor.call("process", "a", Unit(1), "sink")
    with pytest.raises(PipelineError, match="cannot be replaced: no such model"):
        await asyncio.wait_for(executor.call("process", "a", Unit(2), "sink"), 20)
    await executor.close(0.0)


async def test_a_start_that_fails_leaves_no_process_behind():
    with pytest.raises(OSError, match="no such model"):
        await ProcessExecutor(Moody("refuses"), 2).open()
    left = [child for child in multiprocessing.active_children() if child.name == "stage-refuses"]
    assert left == []


async def test_stop_runs_in_each_worker_process(tmp_path):
    executor = ProcessExecutor(Moody(str(tmp_path / "log")), 2)
    await executor.open()
    await executor.close()
    assert (tmp_path / "log").read_text() == "stopped\n" * 2


@pytest.mark.parametrize("kind", [ThreadExecutor, ProcessExecutor])
async def test_a_caller_that_goes_away_does_not_free_its_worker_early(kind):
    executor = kind(Moody("m"), 1)
    await executor.open()
    await executor.call("process", "a", 0.0, "sink")
    gone = asyncio.create_task(executor.call("process", "a", 0.8, "sink", deadline=5.0))
    await asyncio.sleep(0.1)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert (await executor.call("process", "b", 0.0, "sink", deadline=0.5)).items  # its own time, not the other's
    await executor.close()


async def test_a_deadline_counts_from_where_the_call_begins():
    executor = ThreadExecutor(Moody("m"), 1)
    hanging = asyncio.create_task(executor.call("process", "a", 2.0, "sink", deadline=0.4))
    await asyncio.sleep(0.05)
    waiting = executor.call("process", "b", 0.2, "sink", deadline=0.4)
    assert (await waiting).items
    with pytest.raises(DeadlineExceededError):
        await hanging
    await executor.close(0.1)


async def test_threads_are_replaced_a_bounded_number_of_times():
    executor = ThreadExecutor(Moody("m"), 1)
    errors = []
    for _ in range(4):
        try:
            await executor.call("process", "a", 1.0, "sink", deadline=0.01)
        except Exception as error:
            errors.append(type(error))
    assert errors == [DeadlineExceededError] * 3 + [RestartsSpentError]
    await executor.close(0.1)


async def test_a_lazy_hook_has_a_deadline_each_time_it_is_pulled():
    class Stalls(Pass):
        deadline = 0.2

        def process(self, item, state, pad="sink"):
            yield from range(16)
            time.sleep(2)

    executor = ThreadExecutor(Stalls("s"), 1)
    outputs = await executor.call("process", "a", 0, "sink")
    assert outputs.items == list(range(16))
    with pytest.raises(DeadlineExceededError):
        await asyncio.wait_for(executor.pull(outputs), 1.5)
    await executor.close(0.1)


async def test_a_worker_killed_in_mid_call_is_told_from_an_error_of_the_stage():
    executor = ProcessExecutor(Moody("m"), 1)
    await executor.open()
    calling = asyncio.create_task(executor.call("process", "a", 20.0, "sink"))
    await asyncio.sleep(0.2)
    for worker in executor._all:
        worker.process.kill()
    with pytest.raises(WorkerDiedError, match="code -9"):
        await asyncio.wait_for(calling, 10)
    await executor.close()


def test_a_thread_that_hangs_does_not_hold_up_the_interpreters_end():
    code = (
        "import time\n"
        "from hema_stream.flow.threads import Thread\n"
        "Thread('hangs').submit(time.sleep, 60)\n"
        "time.sleep(0.1)\n"
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)
    assert time.monotonic() - began < 40


async def test_a_slide_that_is_opened_again_at_once_keeps_its_new_state():
    executor = ProcessExecutor(Moody("m"), 2)
    await executor.open()
    for label in ("one", "two", "three"):
        await executor.call("negotiate", "a", "sink", Caps("unit", label=label))
        answers = await asyncio.gather(*(executor.call("process", "a", 0.05, "sink") for _ in range(4)))
        assert {answer.items[0][0] for answer in answers} == {label}
        await executor.release("a")
    await executor.close()
