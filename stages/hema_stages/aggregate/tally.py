"""Tally: running counts from what is counted and what it was called; the slide's result at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stages.aggregate.kept import KeptFeatures
from hema_stages.aggregate.standing import NO_LABEL, STREAM_OF_KIND, Standings
from hema_stream.core.calibration import Calibration
from hema_stream.core.cells import CellTable
from hema_stream.core.crops import Labels
from hema_stream.core.delta import CellDelta, SlideDelta
from hema_stream.core.errors import LedgerError
from hema_stream.core.field import Acquisition
from hema_stream.core.field_plan import FieldPlan, SlidePlan
from hema_stream.core.naming import Naming
from hema_stream.core.result import TallyResult
from hema_stream.core.slide import Slide
from hema_stream.flow import Caps, Gap, Pad, Policy, Stage, cpu, prop
from hema_stream.flow.ledger import Ledger

NO_KEYS = np.zeros((0, 2), np.int32)
KEPT = "wbc"
"""Stream whose features go with the result: red cells are too many."""


@dataclass
class _Counting:
    slide: Slide
    calibration: Calibration
    plan: SlidePlan
    standings: Standings
    ledger: Ledger
    tables: list[CellTable] = field(default_factory=list)
    removed: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    models: dict[str, str] = field(default_factory=dict)
    naming: Naming = field(default_factory=Naming)
    networks: dict[str, str] = field(default_factory=dict)
    kept: KeptFeatures = field(default_factory=lambda: KeptFeatures(KEPT))
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    seq: int = 0
    acquisition: Acquisition | None = None

    def learn(self, caps: Caps) -> None:
        """Note what the caps of a pad tell of the names; they come before its labels."""
        self.models.update(caps.get("models", {}))
        self.networks.update(caps.get("networks", {}))
        self.naming = self.naming.joined(caps)
        self.standings.taxonomies.update(self.naming.taxonomies)


class Tally(Stage):
    """Join counted cells with their labels; tell observers what changed, and the report what was found.

    Labels may come before their cell is counted or after; repeats change nothing. A cell whose classification was
    lost stays counted, without a class and with the reason.
    """

    sinks = {"sink": Pad(Caps("cells/delta")), "labels_%u": Pad(Caps("cells/labels"), request=True)}
    sources = {
        "deltas": Pad(Caps("slide/delta"), request=True),
        "report": Pad(Caps("slide/result"), request=True),
    }
    runs_on = cpu(threads=1)
    on_error = Policy.FAIL_SLIDE

    streams: str = prop(
        "rbc,wbc", doc="streams that are classified; none where nothing is", choices=("rbc,wbc", "none")
    )

    def negotiate_pad(self, pad: str, caps: Caps, state: _Counting | None) -> tuple[Caps | None, _Counting]:
        """Open the slide with the first pad's caps; the others bring the same."""
        if state is not None:
            state.learn(caps)
            return None, state
        taxonomies = {stream: Naming().taxonomy(stream) for stream in STREAM_OF_KIND.values()}
        opened = _Counting(
            caps.slide,
            caps.calibration,
            caps.plan,
            Standings(taxonomies, (caps.slide.width, caps.slide.height)),
            Ledger(range(len(caps.plan))),
        )
        opened.learn(caps)
        return caps, opened

    def process(self, item: CellDelta | Labels, state: _Counting, pad: str = "sink") -> tuple[str, SlideDelta]:
        """Apply a change of the counted set, or labels, and pass on what observers need of it."""
        if isinstance(item, Labels):
            state.kept.add(item)
            return "deltas", self._delta(state, CellTable.empty(), NO_KEYS, (state.standings.label(item),))
        known = state.standings.add(item.added)
        state.standings.retract(item.retracted)
        state.standings.finalise(item.kept)
        state.standings.finalise(item.dropped)
        if len(item.added):
            state.tables.append(item.added)
        state.ledger.plan(item.planned)
        state.acquisition = item.acquisition or state.acquisition
        for tile, outcome in item.ended.items():
            state.ledger.end(tile, outcome)
        state.reasons.update(item.reasons.values())
        state.removed.update(item.removed)
        return "deltas", self._delta(state, item.added, item.retracted, tuple(known), item.ended)

    def gap(self, gap: Gap, state: _Counting) -> None:
        """Note the cells whose classification was lost."""
        state.standings.lose(np.asarray(gap.units, np.int32).reshape(-1, 2))
        state.reasons[f"classification: {gap.reason}"] += 1

    def finish(self, state: _Counting) -> Iterator[tuple[str, Any]]:
        """Check that every tile ended and every cell has a class or a reason; emit the result."""
        state.ledger.check()
        _check_scan(state)
        yield "report", self._result(state, "complete")

    def cancelled(self, state: _Counting) -> Iterator[tuple[str, Any]]:
        """Emit what was counted so far, marked partial; nothing where no tile was analysed yet."""
        if not state.ledger.counts()["analysed"]:
            return
        for tile in state.ledger.open():
            state.ledger.end(tile, "cancelled")
        yield "report", self._result(state, "partial")

    def _delta(
        self,
        state: _Counting,
        added: CellTable,
        retracted: NDArray[np.int32],
        labelled: tuple[Labels, ...],
        ended: Mapping[int, str] = MappingProxyType({}),
    ) -> SlideDelta:
        state.seq += 1
        progress = {**state.ledger.counts(), "planned": state.ledger.planned}
        counts = {name: count for name, count in state.standings.counts.items() if count}
        return SlideDelta(state.slide.id, state.seq, added, retracted, labelled, counts, progress, ended, state.naming)

    def _result(self, state: _Counting, status: str) -> TallyResult:
        cells = _final_table(state)
        best = state.standings.column(cells, "best").astype(np.int16)
        missing = (best == NO_LABEL) & np.isin(cells.kind, list(STREAM_OF_KIND)) & (cells.clump == 0)
        lost = state.standings.column(cells, "lost").astype(bool)
        if status == "complete" and self.streams != "none" and (missing & ~lost).any():
            raise LedgerError(
                f"{int((missing & ~lost).sum())} counted cells have neither a class nor a reason",
                place=state.slide.id,
                remedy="report this with the log; the slide's counts are not to be used",
            )
        return TallyResult(
            slide=state.slide,
            calibration=state.calibration,
            plan=state.plan,
            cells=cells,
            best=best,
            confidence=state.standings.column(cells, "confidence").astype(np.float32),
            unknown=state.standings.column(cells, "unknown").astype(bool),
            lost=lost,
            tiles=state.ledger.counts(),
            tile_reasons=dict(state.reasons),
            removed=dict(state.removed),
            counts={name: count for name, count in state.standings.counts.items() if count},
            relabelled=state.standings.relabelled,
            status=status,
            models=dict(state.models),
            acquisition=state.acquisition,
            naming=state.naming,
            features=state.kept.of(cells, state.networks.get(KEPT, "")),
            started=state.started,
            finished=datetime.now(UTC),
        )


def _check_scan(state: _Counting) -> None:
    """Raise LedgerError where a plan that grew has not the tiles that its scan ended with."""
    scan, plan = state.acquisition, state.plan
    if isinstance(plan, FieldPlan) and scan is not None and state.ledger.planned != scan.fields * plan.per_field:
        raise LedgerError(
            f"{state.ledger.planned} tiles ended of a scan of {scan.fields} fields, {plan.per_field} tiles each",
            place=state.slide.id,
            remedy="report this with the log; the slide's counts are not to be used",
        )


def _final_table(state: _Counting) -> CellTable:
    """Put together the counted cells, in the order of tile and index; a cell that came back appears once."""
    table = CellTable.concatenate(state.tables)
    state.tables = [table]  # the parts are freed before the counted rows are taken
    order = np.lexsort((table.index, table.tile))
    first = np.ones(len(table), bool)
    first[1:] = (np.diff(table.tile[order]) != 0) | (np.diff(table.index[order]) != 0)
    return table.take(order[first & state.standings.counted(table)[order]])
