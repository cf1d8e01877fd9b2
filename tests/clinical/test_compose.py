"""The head of a report, against the lists it heads."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from smear import FINISHED, mixed, result_of

from hema_stream.clinical.compose import Composer
from hema_stream.clinical.panel import load_panel
from hema_stream.core.cells import Kind
from hema_stream.core.report import Identity

IDENTITY = Identity(software="hema-stream", models={}, configuration="0" * 64, panel="default", profile="cpu")
COMPOSER = Composer(load_panel(), IDENTITY, True)


def test_counts_of_the_head_are_those_of_the_rows() -> None:
    result = mixed(600)
    clump = np.where(np.arange(600) % 50 == 0, 3, 0).astype(np.int16)
    best = np.where((clump > 0) | (np.arange(600) % 70 == 1), -1, result.best).astype(np.int16)
    unknown = result.unknown & (best >= 0)
    result = replace(result, cells=replace(result.cells, clump=clump), best=best, unknown=unknown, lost=best < 0)
    head, found = COMPOSER.head(result), list(COMPOSER.detections(result))
    kinds = Counter(row["type"] for row in found)
    summary, red, white = head.summary, head.rbc_analysis, head.wbc_differential
    assert (summary.rbc_count, summary.wbc_count, summary.platelet_count) == (
        kinds["rbc"],
        kinds["wbc"],
        kinds["platelet"],
    )
    assert summary.total_cells == len(found) == 600
    assert summary.rbc_wbc_ratio == round(kinds["rbc"] / kinds["wbc"], 2)
    for part, kind in ((red.distribution, "rbc"), (white.distribution, "wbc")):
        named = Counter(
            row["classification"]
            for row in found
            if row["type"] == kind and row["classification"] and not row["unknown"] and not row["clump"]
        )
        assert {name: getattr(entry, "count", entry) for name, entry in part.items()} == named
        assert sum(named.values()) == (red.classified if kind == "rbc" else white.classified + white.beside)
    assert red.total == summary.rbc_count == red.classified + red.unknown + red.unclassified + red.clumps
    assert white.total == white.classified + white.beside + white.unknown + white.unclassified + white.clumps
    assert red.in_clumps == sum(row["clump"] for row in found if row["type"] == "rbc")
    assert min(red.unclassified, red.clumps, red.unknown, white.classified) > 0


def test_no_white_cells_no_ratio() -> None:
    assert COMPOSER.head(result_of([(Kind.RBC, "normal")])).summary.rbc_wbc_ratio is None


def test_an_empty_slide_has_a_report() -> None:
    head = COMPOSER.head(result_of([]))
    assert head.summary.total_cells == 0
    assert head.rbc_analysis.abnormality_rate is None
    assert not list(COMPOSER.detections(result_of([])))
    assert not list(COMPOSER.uncertain(result_of([])))


def test_identity_and_times() -> None:
    head = COMPOSER.head(result_of([(Kind.RBC, "normal")]))
    assert head.identity.models == {"classify_rbc": "cd" * 32, "segment": "ab" * 32}
    assert list(head.identity.models) == ["classify_rbc", "segment"]
    assert head.timestamp == FINISHED
    assert head.processing_time_seconds == 1.5
    assert head.deterministic


def test_an_abnormal_class_counts_and_an_unknown_one_does_not() -> None:
    result = result_of([(Kind.RBC, "normal")] * 3 + [(Kind.RBC, "target")] * 2)
    assert COMPOSER.head(result).rbc_analysis.abnormality_rate == 40.0
    unsure = replace(result, unknown=np.array([False, False, False, False, True]))
    red = COMPOSER.head(unsure).rbc_analysis
    assert (red.abnormality_rate, red.classified, red.unknown) == (25.0, 4, 1)
