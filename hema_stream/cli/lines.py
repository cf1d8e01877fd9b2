"""What is said of an image in one line, for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hema_stream.core.report import Flag, ReportHead
    from hema_stream.service.analysis import Finished, Standing

ENDINGS = ("done", "partial", "rejected", "failed", "not analysed")
LEADING = 4
"""Classes that a line has room for."""
WARNINGS = {
    "small": "small picture",
    "alpha_dropped": "alpha channel dropped",
    "low_focus": "out of focus",
    "stain_out_of_range": "stain out of range",
}
"""Codes of validation and calibration, as a person reads them; a missing scale is told with what took its place."""
UNFLAGGED = ("insufficient_cells", "poor_stain")
"""Flags of which the line itself tells already: by its counts, and by its warnings."""


def outcome_line(outcome: Finished, out: Path) -> str:
    """How an image ended: what was found and where it lies, or what went wrong, with the file and the remedy."""
    if outcome.error is not None:
        return complaint(outcome)
    if outcome.head is None:
        return printable(f"{outcome.status}: {outcome.image.path}")
    return _summary(outcome.head, out / outcome.image.id)


def complaint(outcome: Finished) -> str:
    """Say what went wrong with an image, whether or not the error itself names the file."""
    path, error = str(outcome.image.path), str(outcome.error)
    return printable(f"{outcome.status}: {error if path in error else f'{path}: {error}'}")


def printable(text: str) -> str:
    """One line of text: what moves a cursor, colours a terminal or is no letter is told by its number."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def differential(white: Mapping[str, int]) -> str:
    """Name the most frequent of the classified white cells in percent, with how many these are; empty without any."""
    total = sum(white.values())
    ranked = sorted(((name, n) for name, n in white.items() if n), key=lambda pair: (-pair[1], pair[0]))
    shares = (f"{name.replace('_', ' ')} {100 * n / total:.0f}%" for name, n in ranked[:LEADING])
    return f"{total:,} classified: {', '.join(shares)}" if total else ""


def standing_line(standing: Standing) -> str:
    """Where a slide stands: tiles, cells, the differential so far."""
    white = differential(standing.white)
    tiles = f"{standing.ended:,}/{standing.planned:,} tiles"
    return f"{tiles}  {standing.cells:,} cells" + (f"  white {white}" if white else "")


def closing_line(outcomes: Iterable[Finished], out: Path, interrupted: bool) -> str:
    """What the names are calibrated to, and, last, how all images ended."""
    outcomes = list(outcomes)
    ended = Counter(_ending(outcome) for outcome in outcomes)
    parts = [f"{ended[name]:,} {name}" for name in ENDINGS if ended[name]]
    head = "interrupted: " if interrupted else ""
    again = "; run it again for those not analysed" if interrupted and ended["not analysed"] else ""
    notes = dict.fromkeys(outcome.head.calibration_note for outcome in outcomes if outcome.head is not None)
    return "\n".join([*notes, f"{head}{', '.join(parts)}; results in {out}{again}"])


def _ending(outcome: Finished) -> str:
    if outcome.head is not None and outcome.error is None:
        return "partial" if outcome.head.status == "partial" else "done"
    return "not analysed" if outcome.status == "cancelled" else outcome.status


def _summary(head: ReportHead, folder: Path) -> str:
    counts, made = head.summary, head.wbc_differential
    white = differential({name: share.count for name, share in made.percentages.items()})
    white = white if made.gradable else made.gradable_note
    found = (
        f"{head.image_id}: {counts.total_cells:,} cells, {counts.rbc_count:,} red, {counts.wbc_count:,} white"
        f"{f' ({white})' if white else ''}, {counts.platelet_count:,} platelets"
    )
    notes = _notes(head)
    return f"{found} -> {printable(str(folder))}{f' [{notes}]' if notes else ''}{_asked_for(head)}"


def _asked_for(head: ReportHead) -> str:
    """What a person should look at, a line each: flags, then candidates."""
    parts = (head.rbc_analysis, head.wbc_differential, head.quality_metrics)
    flags = [flag for part in parts for flag in part.flags if flag.code not in UNFLAGGED]
    candidates = [flag for part in parts[:2] for flag in part.candidates]
    lines = [f"flag: {_told(flag)}" for flag in flags] + [f"candidate: {_told(flag)}" for flag in candidates]
    if not head.rbc_analysis.gradable:
        lines.append(f"red cell morphology {head.rbc_analysis.gradable_note}")
    return "".join(f"\n    {line}" for line in lines)


def _told(flag: Flag) -> str:
    return f"{flag.wording} ({flag.figure}{f'; {flag.note}' if flag.note else ''})"


def _notes(head: ReportHead) -> str:
    """What a person should know before the figures are used."""
    quality = head.quality_metrics
    notes = [WARNINGS[code] for code in quality.warnings if code in WARNINGS]
    if quality.scale.scale_source in ("estimated", "assumed"):
        notes.append(f"scale {quality.scale.scale_source}: {quality.scale.microns_per_pixel:.3g} um a pixel")
    if head.status == "partial":
        lost = (f"{lack.reason}, {lack.n:,} of {lack.of:,}" for lack in head.missing if lack.code != "size_classes")
        notes.insert(0, f"PARTIAL: {'; '.join(lost) or 'the analysis was interrupted'}")
    return "; ".join(notes)
