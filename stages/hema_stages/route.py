"""Route: every cell to the table, red and white cells to their classifier's queue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hema_stream.core.calibration import Calibration
from hema_stream.core.cells import CellTable, Kind, Priority
from hema_stream.core.crops import Crops, load_geometry
from hema_stream.core.routed import Routed
from hema_stream.core.segmented import Segmented
from hema_stream.core.tile import Tile
from hema_stream.flow import Caps, Gap, Pad, Policy, Stage, cpu, prop

if TYPE_CHECKING:
    from hema_models.site.choice import Choice

STREAMS = {"rbc": Kind.RBC, "wbc": Kind.WBC}


@dataclass(frozen=True)
class _Placement:
    calibration: Calibration
    choice: Choice | None


class Route(Stage):
    """Cut each cell's crop from the finest pixels and send it to the classifier of its kind.

    Views that this tile owns go out at once; the crops of others travel with the table until it is known which view
    is counted. Clumps and platelets are not classified. Where ``choice`` is set, a slide is told here, once for both
    classifiers, which version of which site names its cells.
    """

    sinks = {"sink": Pad(Caps("cells/segmented"))}
    sources = {
        "cells": Pad(Caps("cells/routed")),
        "rbc": Pad(Caps("image/crops"), request=True),
        "wbc": Pad(Caps("image/crops"), request=True),
    }
    runs_on = cpu(threads=1)
    on_error = Policy.GAP

    choice: Path = prop(Path(), doc="file that names the site for slides from now on; none where it is empty")

    def start(self) -> None:
        """Read what each classifier sees of a cell."""
        self._geometry = {stream: load_geometry(stream) for stream in STREAMS}

    def negotiate_pad(self, pad: str, caps: Caps, state: _Placement | None) -> tuple[Caps, _Placement]:
        """Keep the background colour, which fills what lies outside the picture; tell by which site cells are named.

        Caps that come later in the stream change nothing of the site.

        Raises:
            ConfigError: a site was chosen that is not there.
        """
        choice = self._chosen() if state is None else state.choice
        told = caps if choice is None else caps.with_(site_choice=choice)
        return told, _Placement(caps.calibration, choice)

    def _chosen(self) -> Choice | None:
        if self.choice == Path():
            return None
        from hema_models.site.choice import current_choice

        return current_choice(self.choice)

    def process(self, item: Segmented, state: _Placement, pad: str = "sink") -> Iterator[tuple[str, Any]]:
        """Send one tile's table to ``cells`` and its crops to ``rbc`` and ``wbc``."""
        cells = item.cells.with_columns(index=np.arange(len(item.cells), dtype=np.int32))
        late: list[Crops] = []
        for stream, kind in STREAMS.items():
            single = (cells.kind == kind) & (cells.clump == 0)
            owned = cells.priority == Priority.OWNED
            now, later = np.flatnonzero(single & owned), np.flatnonzero(single & ~owned)
            if len(now):
                yield stream, self._crop(stream, item.tile, cells, now, state.calibration)
            if len(later):
                late.append(self._crop(stream, item.tile, cells, later, state.calibration))
        spec, factor = item.tile.spec, state.calibration.scale.canonical
        x0, y0, x1, y1 = (v * factor for v in spec.view)
        yield (
            "cells",
            Routed(spec.index, cells, tuple(late), item.removed, (x0, y0, x1, y1), item.tile.offsets),
        )

    def gap(self, gap: Gap, state: _Placement) -> tuple[str, Gap]:
        """A lost tile concerns the table alone; the classifiers know only cells."""
        return "cells", gap

    def _crop(
        self, stream: str, tile: Tile, cells: CellTable, rows: np.ndarray[Any, Any], calibration: Calibration
    ) -> Crops:
        from hema_models.cropping import crop_sides, gather_crops

        geometry = self._geometry[stream]
        sides_um, widened = crop_sides(cells.boxes[rows], calibration.scale, geometry.side_um)
        fine_mpp = calibration.scale.mpp * cells.scale / tile.fine_scale
        centres = (cells.centroid[rows] / cells.scale - np.array(tile.spec.box[:2])) * tile.fine_scale
        return Crops(
            stream,
            gather_crops(tile.fine, centres, sides_um / fine_mpp, geometry.side_px, calibration.background),
            cells.keys[rows],
            widened,
        )
