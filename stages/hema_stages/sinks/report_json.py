"""report.json, streamed: the head from its model, then a row a cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import IO, Any

import orjson

from hema_stream.clinical.compose import Composer
from hema_stream.core.report import ReportHead, SiteAlarm
from hema_stream.core.result import TallyResult

ROWS = 2048


def write_report(
    handle: IO[bytes], composer: Composer, result: TallyResult, alarms: Sequence[SiteAlarm] = ()
) -> ReportHead:
    """Write report.json; memory stays at a few thousand rows. Returns the head that was written."""
    head = composer.head(result, alarms)
    opening = orjson.dumps(head.model_dump(mode="json"), option=orjson.OPT_INDENT_2)
    handle.write(opening.removesuffix(b"\n}"))
    for name, rows in (
        ("cell_detections", composer.detections(result)),
        ("uncertain_cases", composer.uncertain(result)),
    ):
        handle.write(b',\n  "%s": [' % name.encode())
        _write_rows(handle, rows)
        handle.write(b"\n  ]")
    handle.write(b"\n}\n")
    return head


def _write_rows(handle: IO[bytes], rows: Iterable[dict[str, Any]]) -> None:
    walk, first = iter(rows), True
    while chunk := list(islice(walk, ROWS)):
        text = b",\n    ".join(map(orjson.dumps, chunk))
        handle.write((b"\n    " if first else b",\n    ") + text)
        first = False
