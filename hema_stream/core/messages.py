"""What the product's stages tell on the bus, beside what the runtime tells."""

from __future__ import annotations

from dataclasses import dataclass

from hema_stream.core.report import ReportHead
from hema_stream.flow.bus import Message


@dataclass(frozen=True)
class ReportWritten(Message):
    """A slide's artefacts are on the disk. It is read before the slide's end, which progress may not be.

    Attributes:
        head: of the report that was written; None only where none was given.
    """

    head: ReportHead | None = None
