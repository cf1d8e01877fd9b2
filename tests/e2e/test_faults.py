"""Faults in mid-slide: what is lost is told, what is left is whole."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import cv2
from slides import MPP, run

from hema_stream.flow import Pipeline


def codes(report: dict) -> set[str]:
    groups = (report["rbc_analysis"]["flags"], report["wbc_differential"]["flags"], report["quality_metrics"]["flags"])
    return {flag["code"] for flags in groups for flag in flags}


def test_out_of_memory_costs_nothing(slide: Path, tmp_path: Path, whole: dict) -> None:
    def scarce(pipeline: Pipeline) -> None:
        stage: Any = pipeline["classify_rbc"]
        plain = stage.process_batch

        def process_batch(items: Any, states: Any) -> Any:
            if sum(map(len, items)) > 20:
                raise MemoryError
            return plain(items, states)

        stage.process_batch = process_batch

    report = run(slide, tmp_path, scarce)
    assert report["cell_detections"] == whole["cell_detections"]


def test_out_of_memory_at_one_cell_is_a_cell_without_a_class(slide: Path, tmp_path: Path, whole: dict) -> None:
    def none_left(pipeline: Pipeline) -> None:
        def process_batch(items: Any, states: Any) -> Any:
            raise MemoryError

        pipeline["classify_rbc"].process_batch = process_batch  # type: ignore[attr-defined]

    report = run(slide, tmp_path, none_left)
    assert report["summary"]["total_cells"] == whole["summary"]["total_cells"]
    assert not any(c["classification"] for c in report["cell_detections"] if c["type"] == "rbc")
    assert "out-of-memory" in json.dumps(report["quality_metrics"])


def test_a_timeout_costs_one_tile(slide: Path, tmp_path: Path, whole: dict) -> None:
    def hang(pipeline: Pipeline) -> None:
        stage: Any = pipeline["segment"]
        stage.deadline = 3.0
        plain = stage.process

        def process(tile: Any, plan: Any) -> Any:
            if tile.spec.index == 2:
                time.sleep(6.0)
            return plain(tile, plan)

        stage.process = process

    report = run(slide, tmp_path, hang)
    assert_one_tile_lost(report, whole)


def test_a_killed_decoding_worker_costs_at_most_the_tile_it_held(slide: Path, tmp_path: Path, whole: dict) -> None:
    def kill(pipeline: Pipeline) -> None:
        seen: list[str] = []

        def trace(stage: str, pad: str, event: Any) -> None:
            if stage == "stain" and not seen and type(event).__name__ == "Buffer":
                seen.append(stage)
                for worker in pipeline.runners["decode"].executor._all:  # type: ignore[attr-defined]
                    worker.process.kill()

        pipeline.traces.append(trace)

    report = run(slide, tmp_path, kill)
    assert_one_tile_lost(report, whole)


def assert_one_tile_lost(report: dict, whole: dict) -> None:
    assert report["quality_metrics"]["tiles"]["analysed"] == 5
    assert sum(report["quality_metrics"]["tiles"].values()) == 6
    assert report["quality_metrics"]["coverage"] < whole["quality_metrics"]["coverage"]
    assert 0.5 < report["summary"]["total_cells"] / whole["summary"]["total_cells"] < 1.0


def test_a_blurred_part_is_rejected_and_told(slide: Path, tmp_path: Path, whole: dict) -> None:
    pixels = cv2.imread(str(slide))
    edge = round(2 * 864 * 0.25 / MPP)  # where the third column of tiles begins
    pixels[:, edge:] = cv2.GaussianBlur(pixels, (0, 0), 12)[:, edge:]
    cv2.imwrite(str(tmp_path / "slide.png"), pixels)
    report = run(tmp_path / "slide.png", tmp_path / "out")
    assert report["quality_metrics"]["tiles"]["rejected"] == 2
    assert report["summary"]["total_cells"] < whole["summary"]["total_cells"]
    assert report["quality_metrics"]["coverage"] < 1


def test_poor_focus_is_told(slide: Path, tmp_path: Path) -> None:
    pixels = cv2.GaussianBlur(cv2.imread(str(slide)), (0, 0), 8)
    cv2.imwrite(str(tmp_path / "slide.png"), pixels)
    report = run(tmp_path / "slide.png", tmp_path / "out")
    assert "low_focus" in report["quality_metrics"]["warnings"]
    assert report["summary"]["image_quality"] != "good"


def test_a_stain_out_of_range_is_told_and_left_alone(slide: Path, tmp_path: Path) -> None:
    pixels = cv2.imread(str(slide))[..., [0, 2, 1]]
    cv2.imwrite(str(tmp_path / "slide.png"), pixels)
    report = run(tmp_path / "slide.png", tmp_path / "out")
    assert report["quality_metrics"]["stain_quality"] == "out_of_range"
    assert "poor_stain" in codes(report)


def test_what_is_too_large_for_a_cell_is_a_clump_without_a_class(fields: Path, tmp_path: Path) -> None:
    """A field told to be coarser than it is shows red cells of three times their area."""
    report = run(fields / "chula-106.png", tmp_path, mpp=1.8 * MPP)
    clumps = [cell for cell in report["cell_detections"] if cell["clump"]]
    assert len(clumps) == report["quality_metrics"]["clumps"] >= 10
    assert all(cell["classification"] is None for cell in clumps)
    singles = sum(cell["type"] == "rbc" and not cell["clump"] for cell in report["cell_detections"])
    assert sum(share["count"] for share in report["rbc_analysis"]["distribution"].values()) <= singles
