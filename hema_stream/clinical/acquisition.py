"""What a scan lacks, and what its report says of how it came."""

from __future__ import annotations

from hema_stream.core.field import Acquisition
from hema_stream.core.report import AcquisitionReport, Missing
from hema_stream.core.result import TallyResult


def acquisition(scan: Acquisition | None) -> AcquisitionReport | None:
    """The report's part on a scan; None for a file."""
    if scan is None:
        return None
    return AcquisitionReport(
        fields=scan.fields,
        received=scan.received,
        missing=list(scan.missing),
        unreadable=list(scan.unreadable),
        not_taken=list(scan.untaken),
        calibrated_on=list(scan.fitted),
        calibration_settled=scan.settled,
        pairs_measured=scan.pairs,
        pairs_refused=scan.refused,
        pairs_unclear=scan.unclear,
        widest_offset_um=scan.widest_um,
    )


def fields_missing(scan: Acquisition | None) -> list[Missing]:
    """Fields that the figures lack; the report lists their numbers."""
    if scan is None:
        return []
    found = [
        ("fields_missing", "fields never came", len(scan.missing), scan.fields),
        ("fields_unreadable", "fields could not be decoded", len(scan.unreadable), scan.fields),
        ("fields_not_taken", "the scan was closed early", len(scan.untaken), scan.fields),
        (
            "offsets_refused",
            "neighbouring fields lie too far off their places; cells may count twice",
            scan.refused,
            scan.pairs + scan.refused + scan.unclear,
        ),
    ]
    return [Missing(code=code, reason=reason, n=n, of=of) for code, reason, n, of in found if n]


def tiles_of_fields(result: TallyResult) -> tuple[int, int]:
    """Tiles that are lost, and that were cancelled, only since their field did not come or was not taken."""
    scan, plan = result.acquisition, result.plan
    if scan is None:
        return 0, 0
    each = getattr(plan, "per_field", 1)
    return each * (len(scan.missing) + len(scan.unreadable)), each * len(scan.untaken)
