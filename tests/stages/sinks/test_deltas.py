"""Deltas as JSON lines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hema_stages.sinks.deltas import Deltas, line_of
from smear import mixed

from hema_stream.core.cells import Kind
from hema_stream.core.crops import Labels
from hema_stream.core.delta import SlideDelta
from hema_stream.core.errors import OutputError
from hema_stream.core.naming import Naming
from hema_stream.core.taxonomy import CellClass, load_taxonomy
from hema_stream.flow.bus import Progress


def delta(seq: int) -> SlideDelta:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]], np.float32)
    keys = np.array([[0, 1], [0, 2]], np.int32)
    labels = Labels("rbc", keys, probabilities, np.array([0, 2], np.int16), np.array([False, True]))
    return SlideDelta("field", seq, mixed(4).cells, keys[:1], (labels,), {"cells": 4}, {"analysed": 1, "planned": 2})


def sink(location: Path) -> tuple[Deltas, list[Any]]:
    stage, posted = Deltas("deltas", location=location), []
    stage._post = posted.append
    stage.start()
    return stage, posted


def test_a_line_a_delta_that_can_be_followed_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deltas.jsonl"
    stage, posted = sink(path)
    for seq in (1, 2):
        stage.process(delta(seq), None)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["seq"] for line in lines] == list(range(1, seq + 1))
    stage.stop()
    line = lines[-1]
    assert line["slide"] == "field"
    assert line["added"]["keys"] == mixed(4).cells.keys.tolist()
    assert line["added"]["type"] == [Kind(kind).name.lower() for kind in line["added"]["kind"]]
    assert line["retracted"] == [[0, 1]]
    [labelled] = line["labelled"]
    assert labelled["stream"] == "rbc"
    assert labelled["best"] == [0, 2]
    assert labelled["classification"] == ["normal", "microcyte"]
    assert labelled["confidence"] == pytest.approx([0.7, 0.7])
    assert labelled["unknown"] == [False, True]
    assert (line["counts"], line["progress"]) == ({"cells": 4}, {"analysed": 1, "planned": 2})
    assert all(isinstance(message, Progress) for message in posted)
    assert posted[0].data == {"counts": {"cells": 4}, "tiles": {"analysed": 1, "planned": 2}}


def test_no_file_is_written_where_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stage, posted = sink(Path())
    stage.process(delta(1), None)
    stage.stop()
    assert not list(tmp_path.iterdir())
    assert len(posted) == 1


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        sink(tmp_path)
    assert caught.value.place == str(tmp_path)


def test_a_sites_own_classes_go_by_their_names(tmp_path: Path) -> None:
    own = load_taxonomy("rbc").extended([CellClass.of_site("acanthocyte", "Acanthocyte", "#112233")])
    last = len(own.names) - 1
    probabilities = np.eye(len(own.names), dtype=np.float32)[[last]]
    labels = Labels("rbc", np.zeros((1, 2), np.int32), probabilities, np.array([last], np.int16), np.array([False]))
    line = line_of(replace(delta(1), labelled=(labels,), naming=Naming({"rbc": own})))
    assert line["labelled"][0]["classification"] == ["acanthocyte"]
