"""The report's model and the schema that ships beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from hema_stream.core.report import SCHEMA, Flag, schema_text


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for value in schema.values():
            yield from objects(value)


def test_schema_is_fresh() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "run python -m hema_stream.core.report"


def test_schema_is_a_schema_that_refuses_what_it_does_not_know() -> None:
    schema = json.loads(schema_text())
    Draft202012Validator.check_schema(schema)
    parts = list(objects(schema))
    assert len(parts) > 10
    for part in parts:
        assert part["additionalProperties"] is False
        assert set(part["required"]) == set(part["properties"])


def test_the_payload_has_every_part_that_others_rely_on() -> None:
    schema = json.loads(schema_text())
    wanted = {
        "": "image_id timestamp processing_time_seconds summary rbc_analysis wbc_differential cell_detections "
        "uncertain_cases quality_metrics identity deterministic status missing",
        "Summary": "total_cells rbc_count wbc_count platelet_count rbc_wbc_ratio image_quality",
        "RbcAnalysis": "total distribution abnormality_rate flags",
        "WbcDifferential": "total distribution percentages me_ratio flags",
        "CellDetection": "cell_id key type classification size_class confidence unknown detection_score bbox centroid",
        "UncertainCase": "cell_id type predicted_class confidence reason requires_manual_review",
        "QualityMetrics": "avg_confidence stain_quality focus_quality coverage scale clumps tiles",
        "ScaleReport": "scale_source",
    }
    for name, fields in wanted.items():
        part = schema["$defs"][name] if name else schema
        assert set(fields.split()) <= set(part["properties"]), name


def test_a_flag_needs_wording_and_denominator() -> None:
    with pytest.raises(ValidationError):
        Flag.model_validate({"code": "blast_detected", "n": 1})
