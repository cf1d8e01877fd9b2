"""Survey: a scan's fields are held until it is measured, then become tiles as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stages.calibration.focus import laplacian_variance
from hema_stages.calibration.measuring import Measuring
from hema_stages.fields.measure import measure, resampled
from hema_stages.fields.offsets import Neighbours, Placed
from hema_stages.fields.tiles import Layout, cut
from hema_stages.fields.window import Choice, Window
from hema_stream.core.calibration import Calibration
from hema_stream.core.field import Acquisition, FieldsPassed, Scan, Shot, TilesPassed
from hema_stream.core.slide import Level, Slide
from hema_stream.flow import Caps, Gap, Policy, Transform, cpu, prop

LEAST_TISSUE = 0.05
Taken = Callable[[str, int, str], None]


@dataclass
class _Surveyed:
    """A scan under way; ``layout`` and ``calibration`` are None until it is measured."""

    slide: str
    scan: Scan
    window: Window
    neighbours: Neighbours
    held: dict[int, Shot] = field(default_factory=dict)
    later: list[Gap] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    unreadable: set[int] = field(default_factory=set)
    missing: list[int] = field(default_factory=list)
    passed: int = -1
    taken: int | None = None
    choice: Choice = field(default_factory=lambda: Choice((), settled=True))
    layout: Layout | None = None
    calibration: Calibration | None = None


class Survey(Measuring, Transform[Shot, Any]):
    """Measure each scan on its lowest usable fields, freeze that, and cut every field into tiles.

    Fields up to a watermark that have not come are gaps; with them a part of the area may be sealed. ``taken``, which
    the program that runs the pipeline sets, is called in the stage's thread once a field needs its room no longer,
    with what became of it: ``analysed``, ``background``, ``rejected`` or ``unreadable``.
    """

    accepts = Caps("image/shot")
    produces = Caps("image/tile")
    runs_on = cpu(threads=1)
    on_error = Policy.FAIL_SLIDE
    deadline = 60.0

    side: int = prop(1024, doc="side of a tile", unit="px", ge=256, le=4096)
    overlap: int = prop(160, doc="what tiles within a field share", unit="px", ge=16)
    fine_mpp: float = prop(0.1, doc="finest scale kept for crops", unit="um/px", ge=0.02, le=0.25)
    reject_focus: bool = prop(True, doc="whether fields out of focus are rejected")
    most_offset: float = prop(5.0, doc="offset of two neighbouring fields above which it is refused", unit="um", ge=0.0)
    neighbour_bytes: int = prop(64 << 20, doc="grey pictures kept for offsets, a scan", unit="bytes", ge=0)

    def __init__(self, name: str = "", **properties: Any) -> None:
        super().__init__(name, **properties)
        self.taken: Taken = lambda slide, index, verdict: None

    def start(self) -> None:
        """Load what measures offsets, which the first pair should not wait for."""
        import skimage.registration  # noqa: F401

    def negotiate_pad(self, pad: str, caps: Caps, state: _Surveyed | None) -> tuple[Caps | None, _Surveyed]:
        """Open a scan; what follows needs to be measured before there are caps to send."""
        scan: Scan = caps.scan
        window = Window(scan.fitted, scan.window)
        return None, _Surveyed(caps.slide_id, scan, window, Neighbours(self.most_offset, self.neighbour_bytes))

    def process(self, shot: Shot, state: _Surveyed) -> Iterator[Any]:  # type: ignore[override]
        """Hold a field, or cut it into tiles."""
        state.seen.add(shot.index)
        if state.layout is not None:
            yield from self._tiles(shot, state)
        elif shot.tissue < LEAST_TISSUE:
            state.window.skip(shot.index)
            state.later.append(Gap(shot.units, "under 5% tissue", "background"))
            self.taken(state.slide, shot.index, "background")
            yield from self._measured(state)
        else:
            state.window.add(shot.index)
            state.held[shot.index] = shot
            yield from self._measured(state)

    def gap(self, gap: Gap, state: _Surveyed) -> Iterator[Any]:
        """Note a field that cannot be read, or a watermark."""
        if isinstance(gap, FieldsPassed):
            self._pass_by(gap, state)
        else:
            for index in gap.units:
                state.seen.add(index)
                state.unreadable.add(index)
                state.window.skip(index)
                self.taken(state.slide, index, "unreadable")
        state.later.append(gap)
        yield from self._measured(state)

    def finish(self, state: _Surveyed) -> Iterator[Any]:
        """Measure what there is, if that has not been done, and say what the scan was made of."""
        state.window.close()
        yield from self._measured(state)
        layout = _laid_out(state)
        lost, untaken = self._never_came(state)
        gaps = [(lost, "not received", "gap"), (untaken, "not taken", "cancelled")]
        for indices, reason, outcome in gaps:
            if indices:
                yield TilesPassed(_units(indices, layout), reason, outcome)
        state.missing.extend(lost)
        yield TilesPassed((), "end of the scan", acquisition=self._acquisition(state, untaken))

    def close(self, state: _Surveyed) -> None:
        """Let go of what is held."""
        state.held.clear()

    def _pass_by(self, passed: FieldsPassed, state: _Surveyed) -> None:
        state.window.pass_by(passed.through)
        state.taken = passed.taken if passed.taken is not None else state.taken

    def _measured(self, state: _Surveyed) -> Iterator[Any]:
        """Measure the scan if its window allows; then everything that has waited follows, in order."""
        if state.layout is None:
            choice = state.window.choose()
            if choice is None:
                return
            yield self._freeze(state, choice)
            for index in sorted(state.held):
                yield from self._tiles(state.held.pop(index), state)
        waiting, state.later = state.later, []
        for gap in waiting:
            yield from self._gaps(gap, state)

    def _freeze(self, state: _Surveyed, choice: Choice) -> Caps:
        shots = [state.held[index] for index in choice.fields]
        calibration = measure(shots, state.scan, self, choice.settled)
        layout = Layout.of(state.scan, calibration.scale, self.side, self.overlap, self.most_offset)
        state.choice, state.calibration, state.layout = choice, calibration, layout
        plan, scale = layout.plan, calibration.scale
        slide = Slide(
            id=state.slide,
            path=state.scan.folder or Path(),
            width=plan.width,
            height=plan.height,
            mpp=scale.mpp,
            scale_source=scale.source,
            levels=tuple(Level(ceil(plan.width / n), ceil(plan.height / n), float(n)) for n in (1, 2, 4, 8)),
            reader="fields",
        )
        return Caps("image/tile", slide=slide, calibration=calibration, plan=plan)

    def _tiles(self, shot: Shot, state: _Surveyed) -> Iterator[Any]:
        """A field's tiles, or why there are none; after them its room is free."""
        layout, calibration = _laid_out(state), state.calibration
        assert calibration is not None
        units, verdict = tuple(layout.plan.tiles(shot.index)), "analysed"
        if shot.tissue < LEAST_TISSUE:
            verdict = "background"
            yield Gap(units, "under 5% tissue", verdict)
        else:
            canonical = resampled(shot.pixels, layout.mpp)
            focus = laplacian_variance(canonical) / max(shot.tissue, LEAST_TISSUE)
            if self.reject_focus and focus < calibration.focus_threshold:
                verdict = "rejected"
                yield Gap(units, "low_quality", verdict)
            else:
                offsets = self._offsets(shot, canonical, layout, state)
                yield from cut(shot, canonical, layout, calibration, self.fine_mpp, offsets, focus)
        self.taken(state.slide, shot.index, verdict)

    def _offsets(
        self, shot: Shot, canonical: NDArray[np.uint8], layout: Layout, state: _Surveyed
    ) -> dict[int, tuple[float, float]]:
        """Offsets of a field against its neighbours that have come, by their tiles, level-0 pixels."""
        import cv2

        factor = layout.plan.scale.canonical
        x, y = (v / factor for v in layout.place(shot))
        gray = np.asarray(cv2.cvtColor(canonical, cv2.COLOR_RGB2GRAY), np.uint8)
        found = state.neighbours.add(shot.index, Placed(gray, x, y))
        return {
            tile: (dx * factor, dy * factor) for other, (dx, dy) in found.items() for tile in layout.plan.tiles(other)
        }

    def _gaps(self, gap: Gap, state: _Surveyed) -> Iterator[Gap]:
        """A gap in the scanner's numbers as one in tiles."""
        layout = _laid_out(state)
        if not isinstance(gap, FieldsPassed):
            outcome = "background" if gap.outcome == "background" else "gap"
            yield Gap(_units(gap.units, layout), gap.reason, outcome, gap.error)
            return
        lost = [index for index in range(state.passed + 1, gap.through + 1) if index not in state.seen]
        state.passed = max(state.passed, gap.through)
        state.missing.extend(lost)
        sealed = layout.sealed(gap.sealed) if gap.sealed is not None else None
        yield TilesPassed(_units(lost, layout), "not received", sealed=sealed)

    def _never_came(self, state: _Surveyed) -> tuple[list[int], list[int]]:
        """Fields after the last watermark that did not come: those that were lost, and those that were not taken."""
        total = len(state.scan.grid) if state.scan.grid else state.taken or 0
        taken = total if state.taken is None else min(state.taken, total)
        open_ = [index for index in range(state.passed + 1, total) if index not in state.seen]
        return [index for index in open_ if index < taken], [index for index in open_ if index >= taken]

    def _acquisition(self, state: _Surveyed, untaken: list[int]) -> Acquisition:
        near = state.neighbours
        return Acquisition(
            fields=len(state.scan.grid) if state.scan.grid else state.taken or 0,
            received=len(state.seen) - len(state.unreadable),
            missing=tuple(sorted(state.missing)),
            unreadable=tuple(sorted(state.unreadable)),
            untaken=tuple(untaken),
            fitted=state.choice.fields,
            settled=state.choice.settled,
            pairs=near.measured,
            refused=near.refused,
            unclear=near.unclear,
            widest_um=round(near.widest, 2),
        )


def _laid_out(state: _Surveyed) -> Layout:
    assert state.layout is not None, "tiles are asked for before the scan was measured"
    return state.layout


def _units(indices: Any, layout: Layout) -> tuple[int, ...]:
    return tuple(tile for index in indices for tile in layout.plan.tiles(index))
