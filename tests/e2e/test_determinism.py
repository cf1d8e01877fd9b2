"""The same input gives the same report, byte for byte but for times, whatever the workers and the batches."""

from __future__ import annotations

from pathlib import Path

import pytest
from slides import run


@pytest.mark.parametrize(
    "settings",
    [
        ("decode.workers=2",),
        ("rbc.max_delay=0.001", "wbc.max_delay=0.001"),
        ("decode.workers=2", "dedupe.held_bytes=1", "segment.threads=1", "classify_rbc.threads=1"),
    ],
)
def test_workers_batches_and_queues_change_nothing(
    settings: tuple[str, ...], slide: Path, tmp_path: Path, whole: dict
) -> None:
    report = run(slide, tmp_path, settings=settings)
    times = {"timestamp", "processing_time_seconds", "identity"}
    assert {k: v for k, v in report.items() if k not in times} == {k: v for k, v in whole.items() if k not in times}
