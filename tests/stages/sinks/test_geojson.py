"""cells.geojson as QuPath reads it."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from io import BytesIO
from typing import Any, cast

import numpy as np
import pytest
from hema_stages.sinks import geojson
from hema_stages.sinks.geojson import write_geojson
from shapely.geometry import shape
from smear import calibration, mixed, result_of

from hema_stream.core.cells import Kind
from hema_stream.core.result import TallyResult
from hema_stream.core.slide import ScaleSource


def written(result: TallyResult) -> dict[str, Any]:
    handle = BytesIO()
    write_geojson(handle, result)
    return cast(dict[str, Any], json.loads(handle.getvalue()))


def test_a_feature_a_cell_with_its_outline_in_level_0_pixels() -> None:
    result = mixed(80)
    document = written(result)
    assert document["type"] == "FeatureCollection"
    assert len(document["features"]) == 80
    for row, feature in enumerate(document["features"]):
        ring = feature["geometry"]["coordinates"][0]
        assert ring[0] == ring[-1]
        polygon = shape(feature["geometry"])
        assert polygon.is_valid
        assert polygon.bounds == pytest.approx(result.cells.boxes[row].tolist(), abs=0.1)
        assert polygon.area * 0.25**2 == pytest.approx(result.cells.area[row] * 0.25**2, rel=0.05)


def test_classes_colours_and_measurements() -> None:
    result = result_of([(Kind.RBC, "target"), (Kind.WBC, "monocyte"), (Kind.PLATELET, None), (Kind.RBC, None)])
    clump = np.array([0, 0, 0, 2], np.int16)
    result = replace(result, unknown=np.arange(4) == 1, cells=replace(result.cells, clump=clump))
    properties = [feature["properties"] for feature in written(result)["features"]]
    assert [p["classification"]["name"] for p in properties] == ["target", "Unknown", "Platelet", "Clump"]
    assert {p["objectType"] for p in properties} == {"detection"}
    assert [p["name"] for p in properties] == ["c000001", "c000002", "c000003", "c000004"]
    for p in properties:
        assert len(p["classification"]["color"]) == 3
        assert all(0 <= value <= 255 for value in p["classification"]["color"])
        assert all(isinstance(value, float) for value in p["measurements"].values())
        assert all(isinstance(value, str) for value in p["metadata"].values())
    assert properties[1]["metadata"] == {"type": "wbc", "best class": "monocyte"}
    assert properties[0]["measurements"]["Confidence"] == pytest.approx(0.95)
    assert properties[0]["measurements"]["Diameter um"] == pytest.approx(7.2)
    assert "Confidence" not in properties[2]["measurements"]


def test_no_diameter_without_a_measured_scale() -> None:
    result = result_of([(Kind.RBC, "target")], measured=calibration(0.25, ScaleSource.ESTIMATED))
    [feature] = written(result)["features"]
    assert "Diameter um" not in feature["properties"]["measurements"]


def test_ids_are_those_of_the_report() -> None:
    features = written(mixed(30))["features"]
    assert [feature["id"] for feature in features] == [f"c{number:06d}" for number in range(1, 31)]


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = written(mixed(50))
    monkeypatch.setattr(geojson, "CHUNK", 7)
    assert written(mixed(50)) == whole


def test_no_cells() -> None:
    assert written(result_of([]))["features"] == []


class Nowhere:
    def write(self, data: bytes) -> int:
        return len(data)


def test_memory_does_not_grow_with_the_cells() -> None:
    def peak(count: int) -> int:
        result = mixed(count)
        tracemalloc.start()
        write_geojson(cast(Any, Nowhere()), result)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(1_000), peak(5_000)
    assert (many - few) / 4_000 < 100  # a feature takes over 5,000 bytes as objects
