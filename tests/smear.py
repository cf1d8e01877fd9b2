"""Slides' results made up for tests of what is reported: no network, no pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.calibration import Calibration, Foreground, MacenkoFit
from hema_stream.core.cells import CellTable, Kind, Priority
from hema_stream.core.result import TallyResult
from hema_stream.core.slide import Level, Scale, ScaleSource, Slide
from hema_stream.core.taxonomy import load_taxonomy
from hema_stream.core.tile import TilePlan
from hema_stream.core.units import CONTOUR_UNIT

RADII_UM = {Kind.RBC: 3.6, Kind.WBC: 6.0, Kind.PLATELET: 1.3}
STREAMS = {Kind.RBC: "rbc", Kind.WBC: "wbc"}
FINISHED = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


def slide(width: int = 1000, height: int = 800, path: Path = Path("field.png"), name: str = "field") -> Slide:
    return Slide(name, path, width, height, 0.25, ScaleSource.METADATA, (Level(width, height, 1.0),), "plain")


def calibration(mpp: float = 0.25, source: ScaleSource = ScaleSource.METADATA, **changes: Any) -> Calibration:
    made = Calibration(
        scale=Scale(mpp, source),
        stain=MacenkoFit(
            matrix=np.zeros((3, 2), np.float32),
            strength=np.ones(2, np.float32),
            red_cells=np.ones(3, np.float32),
        ),
        background=np.full(3, 230, np.uint8),
        focus_threshold=12.0,
        focus=60.0,
        foreground=Foreground(np.ones((4, 4), bool), 250.0),
    )
    return replace(made, **changes)


def table(
    kinds: Sequence[Kind],
    centres: NDArray[np.float64],
    scale: Scale,
    radii_um: NDArray[np.float64] | None = None,
    corners: int = 36,
) -> CellTable:
    """Round cells at (N, 2) level-0 centres, numbered within tile 0."""
    radii = np.array([RADII_UM[kind] for kind in kinds]) if radii_um is None else np.asarray(radii_um, float)
    reach = radii / scale.mpp
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    steps = (1 + ring[None]) * (radii / 0.25)[:, None, None] / CONTOUR_UNIT
    count = len(kinds)
    return CellTable(
        tile=np.zeros(count, np.int32),
        index=np.arange(count, dtype=np.int32),
        kind=np.array(kinds, np.int8),
        score=np.full(count, 0.9, np.float32),
        boxes=np.concatenate([centres - reach[:, None], centres + reach[:, None]], axis=1),
        centroid=np.asarray(centres, float),
        area=(np.pi * (radii / 0.25) ** 2).astype(np.float32),
        solidity=np.ones(count, np.float32),
        priority=np.full(count, Priority.OWNED, np.int8),
        clump=np.zeros(count, np.int16),
        vertices=np.round(steps).astype(np.int16).reshape(-1, 2),
        starts=np.arange(count + 1, dtype=np.int64) * corners,
        scale=scale.canonical,
    )


def grid(count: int, width: float, height: float, margin: float) -> NDArray[np.float64]:
    """(N, 2) centres spread evenly over a picture."""
    columns = max(int(np.ceil(np.sqrt(count * width / max(height, 1)))), 1)
    rows = max(int(np.ceil(count / columns)), 1)
    x, y = np.meshgrid(np.linspace(margin, width - margin, columns), np.linspace(margin, height - margin, rows))
    return np.stack([x.ravel(), y.ravel()], axis=1)[:count]


def result_of(
    entries: Sequence[tuple[Kind, str | None]],
    *,
    image: Slide | None = None,
    measured: Calibration | None = None,
    radii_um: NDArray[np.float64] | None = None,
    **changes: Any,
) -> TallyResult:
    """A result with one cell an entry: its kind and its class, None where it has none."""
    image, measured = image or slide(), measured or calibration()
    kinds = [kind for kind, _ in entries]
    cells = table(kinds, grid(len(entries), image.width, image.height, 40.0), measured.scale, radii_um)
    best = [load_taxonomy(STREAMS[kind]).index(name) if name else -1 for kind, name in entries]
    count = len(entries)
    made = TallyResult(
        slide=image,
        calibration=measured,
        plan=TilePlan(image.width, image.height, measured.scale),
        cells=cells,
        best=np.array(best, np.int16),
        confidence=np.where(np.array(best) >= 0, 0.95, 0.0).astype(np.float32),
        unknown=np.zeros(count, bool),
        lost=np.zeros(count, bool),
        tiles={"analysed": 1, "background": 0, "rejected": 0, "gap": 0, "cancelled": 0},
        tile_reasons={},
        removed={"low_score": 2},
        counts={},
        relabelled=0,
        status="complete",
        started=FINISHED - timedelta(seconds=1.5),
        finished=FINISHED,
        models={"segment": "ab" * 32, "classify_rbc": "cd" * 32},
    )
    return replace(made, **changes)


def mixed(count: int, *, image: Slide | None = None, seed: int = 0, **changes: Any) -> TallyResult:
    """A result of many cells of all kinds and classes, some of them unknown."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice([Kind.RBC, Kind.WBC, Kind.PLATELET], count, p=[0.9, 0.04, 0.06])
    entries: list[tuple[Kind, str | None]] = []
    for kind in map(Kind, kinds.tolist()):
        names = load_taxonomy(STREAMS[kind]).names if kind in STREAMS else None
        weights = None if names is None else np.array([10.0] + [1.0] * (len(names) - 1))
        entries.append((kind, None if names is None else str(rng.choice(names, p=weights / weights.sum()))))
    made = result_of(entries, image=image, **changes)
    unknown = (rng.random(count) < 0.05) & (made.best >= 0)
    confidence = np.where(unknown, 0.4, made.confidence).astype(np.float32)
    return replace(made, unknown=unknown, confidence=confidence)
