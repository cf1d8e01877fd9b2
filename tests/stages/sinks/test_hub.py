"""Hub: whoever watches is told everything in order, and results go on."""

from __future__ import annotations

from typing import Any

import numpy as np
from hema_stages.sinks.hub import Hub
from smear import calibration, mixed, slide

from hema_stream.core.cells import CellTable
from hema_stream.core.delta import SlideDelta
from hema_stream.core.tile import TilePlan
from hema_stream.flow import Caps


class Notes:
    def __init__(self) -> None:
        self.taken: list[tuple[str, Any]] = []

    def opened(self, *facts: Any) -> None:
        self.taken.append(("opened", facts))

    def changed(self, delta: SlideDelta) -> None:
        self.taken.append(("changed", delta))

    def settled(self, result: Any) -> None:
        self.taken.append(("settled", result))


def test_the_watcher_is_told_in_order_and_results_go_on() -> None:
    stage, notes = Hub("hub"), Notes()
    stage.watcher = notes
    image, measured = slide(), calibration()
    plan = TilePlan(image.width, image.height, measured.scale)
    caps = Caps("slide/delta", slide=image, calibration=measured, plan=plan)
    sent, state = stage.negotiate_pad("sink", caps, None)
    again, state = stage.negotiate_pad("result", caps, state)
    assert (sent, again) == (caps, None)
    delta = SlideDelta("field", 1, CellTable.empty(), np.zeros((0, 2), np.int32), (), {}, {})
    result = mixed(3)
    assert stage.process(delta, state) is None
    assert stage.process(result, state, "result") is result
    assert notes.taken == [("opened", (image, measured, plan)), ("changed", delta), ("settled", result)]


def test_nobody_needs_to_watch() -> None:
    result = mixed(3)
    assert Hub("hub").process(result, slide(), "result") is result


def test_a_partial_result_that_nobody_wants_goes_no_further() -> None:
    stage, notes = Hub("hub"), Notes()
    stage.watcher, stage.wants_part = notes, {"cancelled"}.__contains__
    stopped, cancelled = (mixed(3, image=slide(name=name), status="partial") for name in ("stopped", "cancelled"))
    whole = mixed(3, image=slide(name="stopped"))
    passed = [stage.process(result, slide(), "result") for result in (stopped, cancelled, whole)]
    assert passed == [None, cancelled, whole]
    assert [result for _, result in notes.taken] == [cancelled, whole]
