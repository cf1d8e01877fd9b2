"""Rows of the lists of cells."""

from __future__ import annotations

import tracemalloc
from collections import deque
from dataclasses import replace

import numpy as np
import pytest
from smear import calibration, mixed, result_of

from hema_stream.clinical import rows
from hema_stream.clinical.panel import load_panel
from hema_stream.core.cells import Kind, Priority
from hema_stream.core.slide import ScaleSource

PANEL = load_panel()


def test_rows_follow_the_table_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    result = mixed(50)
    whole = list(rows.detections(result, PANEL)), list(rows.uncertain(result, PANEL))
    monkeypatch.setattr(rows, "CHUNK", 7)
    assert (list(rows.detections(result, PANEL)), list(rows.uncertain(result, PANEL))) == whole
    assert [row["cell_id"] for row in whole[0]] == [f"c{n:06d}" for n in range(1, 51)]
    assert [row["key"] for row in whole[0]] == result.cells.keys.tolist()


def test_a_cell_says_what_it_is() -> None:
    result = result_of([(Kind.WBC, "monocyte"), (Kind.PLATELET, None)])
    white, platelet = rows.detections(result, PANEL)
    assert (white["type"], white["classification"], white["confidence"]) == ("wbc", "monocyte", 0.95)
    assert (platelet["type"], platelet["classification"], platelet["confidence"]) == ("platelet", None, None)
    assert white["bbox"] == pytest.approx(result.cells.boxes[0].tolist(), abs=0.005)


def test_size_classes_are_of_whole_single_red_cells() -> None:
    entries = [(Kind.RBC, "normal")] * 6 + [(Kind.WBC, "monocyte")]
    radii = np.array([2.9, 3.5, 4.3, 3.5, 3.5, 3.5, 3.5])
    result = result_of(entries, radii_um=radii)
    boxes = result.cells.boxes.copy()
    boxes[3] -= boxes[3, [0, 1, 0, 1]]  # at the picture's corner
    clump, priority = np.array([0, 0, 0, 0, 2, 0, 0], np.int16), result.cells.priority.copy()
    priority[5] = Priority.EDGE
    result = replace(result, cells=replace(result.cells, boxes=boxes, clump=clump, priority=priority))
    sizes = [row["size_class"] for row in rows.detections(result, PANEL)]
    assert sizes == ["microcytic", "normocytic", "macrocytic", None, None, None, None]
    estimated = replace(result, calibration=calibration(0.25, ScaleSource.ESTIMATED))
    assert {row["size_class"] for row in rows.detections(estimated, PANEL)} == {None}


def test_diameter_is_that_of_the_circle_of_the_area_whatever_the_scale() -> None:
    for mpp in (0.1, 0.25, 0.5):
        result = result_of([(Kind.RBC, "normal")], measured=calibration(mpp), radii_um=np.array([3.75]))
        assert result.diameters_um == pytest.approx([7.5], abs=0.001)


def test_uncertain_cases_and_their_reasons() -> None:
    entries = [(Kind.RBC, "normal")] * 5 + [(Kind.WBC, "blast"), (Kind.WBC, None), (Kind.WBC, None)]
    result = result_of(entries)
    confidence = np.array([0.95, 0.7, 0.69, 0.3, 0.9, 0.69, 0, 0], np.float32)
    priority = np.array([2, 2, 2, 2, 0, 2, 2, 2], np.int8)
    unknown, lost = np.arange(8) == 3, np.arange(8) == 6
    cells = replace(result.cells, priority=priority)
    result = replace(result, confidence=confidence, unknown=unknown, lost=lost, cells=cells)
    found = {row["cell_id"]: row for row in rows.uncertain(result, PANEL)}
    assert {name: (row["reason"], row["requires_manual_review"]) for name, row in found.items()} == {
        "c000003": ("confidence below 0.7", False),
        "c000004": ("unknown: confidence under the class's threshold; confidence below 0.7", True),
        "c000005": ("truncated: no whole view", False),
        "c000006": ("confidence below 0.7", True),
        "c000007": ("classification failed", True),
        "c000008": ("not classified before the analysis ended", True),
    }
    assert found["c000006"]["predicted_class"] == "blast"
    assert found["c000007"]["confidence"] is None


def test_memory_does_not_grow_with_the_rows() -> None:
    def peak(count: int) -> int:
        result = mixed(count)
        tracemalloc.start()
        deque(rows.detections(result, PANEL), maxlen=0)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(4_000), peak(24_000)
    assert (many - few) / 20_000 < 100  # columns of a few bytes; a row as an object takes over 1,000
