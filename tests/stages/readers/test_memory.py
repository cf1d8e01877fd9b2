"""A worker's memory is bounded; the main process's is not."""

from __future__ import annotations

import multiprocessing
import resource

from hema_stages.readers.memory import bound_address_space


def _allocate(size: int, answers) -> None:
    import numpy as np

    bound_address_space(256 << 20)
    try:
        np.empty(size, np.uint8)
        answers.put("there was room")
    except MemoryError:
        answers.put("MemoryError")


def test_worker_gets_no_more_than_its_limit():
    context = multiprocessing.get_context("fork")
    for size, said in [(64 << 20, "there was room"), (1 << 30, "MemoryError")]:
        answers = context.SimpleQueue()
        worker = context.Process(target=_allocate, args=(size, answers))
        worker.start()
        worker.join(20)
        assert answers.get() == said


def test_main_process_is_left_alone():
    before = resource.getrlimit(resource.RLIMIT_AS)
    bound_address_space(1 << 20)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
