"""hema.ingest.v1 without sockets or clock: what a scanner may send, when, and what it is answered."""

from hema_stream.service.ingest.declaration import Opening
from hema_stream.service.ingest.limits import Durability, IngestLimits
from hema_stream.service.ingest.push import Ended, Push, Sink, Wanted
from hema_stream.service.ingest.session import Session

__all__ = ["Durability", "Ended", "IngestLimits", "Opening", "Push", "Session", "Sink", "Wanted"]
