"""What ``evaluate points`` says of a labelled point: the cell there, and its size where that is out of limits."""

from __future__ import annotations

import numpy as np
import pytest
from smear import calibration, result_of

from hema_stream.cli.evaluate.points import MISSED, answer_points
from hema_stream.core.cells import CellTable, Kind
from hema_stream.core.crops import Labels
from hema_stream.core.delta import SlideDelta
from hema_stream.core.result import TallyResult
from hema_stream.core.slide import ScaleSource
from hema_stream.core.taxonomy import load_taxonomy

NAMES = load_taxonomy("rbc").names
CLASSES = ("normal", "normal", "normal", "schistocyte")
RADII = np.array([2.6, 3.6, 4.6, 2.6])


def answered(result: TallyResult) -> list[str]:
    probabilities = np.zeros((4, len(NAMES)), np.float32)
    probabilities[np.arange(4), result.best] = 1
    labels = Labels("rbc", result.cells.keys, probabilities, result.best, np.zeros(4, bool))
    delta = SlideDelta("field", 1, CellTable.empty(), np.zeros((0, 2), np.int32), (labels,), {}, {})
    rows = [{"x": x, "y": y} for x, y in [*result.cells.centroid.tolist(), (500.0, 5.0)]]
    answer_points(rows, [delta, result], NAMES)
    return [str(row["predicted"]) for row in rows]


@pytest.mark.parametrize("source", [ScaleSource.METADATA, ScaleSource.GIVEN])
def test_a_normal_cell_of_an_odd_size_is_called_by_its_size(source: ScaleSource) -> None:
    result = result_of([(Kind.RBC, name) for name in CLASSES], radii_um=RADII, measured=calibration(source=source))
    assert answered(result) == ["microcyte", "normal", "macrocyte", "schistocyte", MISSED]


def test_without_a_measured_scale_size_says_nothing() -> None:
    measured = calibration(source=ScaleSource.ESTIMATED)
    result = result_of([(Kind.RBC, name) for name in CLASSES], radii_um=RADII, measured=measured)
    assert answered(result) == [*CLASSES, MISSED]
