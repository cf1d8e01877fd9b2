"""A streaming runtime: stages joined by bounded links, in GStreamer's terms.

It knows nothing of slides or cells and needs the standard library and structlog alone.
"""

from hema_stream.flow.caps import ANY, Caps, Range
from hema_stream.flow.errors import (
    FlowError,
    LaunchSyntaxError,
    LedgerError,
    NegotiationError,
    PipelineError,
    PropertyError,
    StageError,
    WorkerDiedError,
)
from hema_stream.flow.events import Buffer, CapsEvent, Eos, Event, Gap, StreamStart
from hema_stream.flow.launch import parse_launch
from hema_stream.flow.ledger import Ledger
from hema_stream.flow.pipeline import Pipeline
from hema_stream.flow.placement import Placement, cpu, cuda, loop, process
from hema_stream.flow.policy import Policy
from hema_stream.flow.props import prop
from hema_stream.flow.registry import Registry
from hema_stream.flow.slides import Outcome
from hema_stream.flow.stage import BatchTransform, Pad, Sink, Source, Stage, Transform

__all__ = [
    "ANY",
    "BatchTransform",
    "Buffer",
    "Caps",
    "CapsEvent",
    "Eos",
    "Event",
    "FlowError",
    "Gap",
    "LaunchSyntaxError",
    "Ledger",
    "LedgerError",
    "NegotiationError",
    "Outcome",
    "Pad",
    "Pipeline",
    "PipelineError",
    "Placement",
    "Policy",
    "PropertyError",
    "Range",
    "Registry",
    "Sink",
    "Source",
    "Stage",
    "StageError",
    "StreamStart",
    "Transform",
    "WorkerDiedError",
    "cpu",
    "cuda",
    "loop",
    "parse_launch",
    "process",
    "prop",
]
