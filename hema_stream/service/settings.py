"""What a service is told: limits from configs/service.yaml, places and pipeline from whoever starts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from limits import RateLimitItem, parse
from pydantic import PositiveFloat, PositiveInt, ValidationError

from hema_stream.core.configs import load_config
from hema_stream.core.errors import ConfigError
from hema_stream.service.disk import DiskLimits
from hema_stream.service.ingest.limits import IngestLimits
from hema_stream.service.live.limits import LiveLimits
from hema_stream.service.part import Part
from hema_stream.service.retention import RetentionLimits
from hema_stream.service.watch.rules import WatchRules

LIMITS = "service.yaml"


class JobLimits(Part):
    """How many slides at a time, and how often one is tried."""

    open: PositiveInt
    attempts: PositiveInt
    together: PositiveInt
    grace: PositiveFloat
    page: PositiveInt
    most_page: PositiveInt


class UploadLimits(Part):
    """Sizes of uploads, bytes; ``kinds``: endings of names of what a page may upload; ``patience``: seconds without a
    byte, then a request is ended.
    """

    most_bytes: PositiveInt
    spare_bytes: PositiveInt
    kinds: tuple[str, ...]
    chunk: PositiveInt
    patience: PositiveFloat


class HttpLimits(Part):
    """Sizes and rates of requests; rates as ``n/period``."""

    body: PositiveInt
    requests: str
    refused: str

    @property
    def request_rate(self) -> RateLimitItem:
        """Requests an address may make."""
        return parse(self.requests)

    @property
    def refusal_rate(self) -> RateLimitItem:
        """Wrong tokens and tickets that an address may show."""
        return parse(self.refused)


class TicketLimits(Part):
    """How long a ticket is good for, seconds, and how many there are at a time."""

    seconds: PositiveFloat
    most: PositiveInt


class ViewerLimits(Part):
    """Deep-zoom tiles: side and overlap in pixels, bytes cached, slides open at a time."""

    tile: PositiveInt
    overlap: int
    cache: PositiveInt
    open: PositiveInt


class ServiceLimits(Part):
    """configs/service.yaml."""

    live: LiveLimits
    jobs: JobLimits
    uploads: UploadLimits
    disk: DiskLimits
    retention: RetentionLimits
    http: HttpLimits
    tickets: TicketLimits
    viewer: ViewerLimits
    ingest: IngestLimits
    watch: WatchRules


def load_limits() -> ServiceLimits:
    """Read the shipped limits.

    Raises:
        ConfigError: names the key that is wrong.
    """
    try:
        return ServiceLimits.model_validate(load_config(LIMITS))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(first["msg"], place=f"{LIMITS}: {key}", remedy="correct the file") from error


@dataclass(frozen=True)
class ServiceSettings:
    """One service.

    Attributes:
        data: folder of the database, uploads and results.
        roots: folders whose images may be submitted by path.
        folders: watched ones, whose images the daemon submits.
        origins: web origins besides the service's own that may open a WebSocket.
        profile, settings: of the pipeline, as for ``analyze``.
        site: that slides are read with from the start on, a name or a profile's file; None for the one that was chosen
            last, if any.
        database: SQLAlchemy URL; empty for a file in ``data``.
    """

    data: Path
    roots: Sequence[Path] = ()
    folders: Sequence[Path] = ()
    origins: Sequence[str] = ()
    profile: str = "cpu"
    settings: Sequence[str] = ()
    database: str = ""
    site: str | None = None
    limits: ServiceLimits = field(default_factory=load_limits)

    @property
    def database_url(self) -> str:
        """Where the jobs are kept."""
        return self.database or f"sqlite:///{self.data / 'service.db'}"

    @property
    def results(self) -> Path:
        """Folder of results, one within it a slide."""
        return self.data / "results"

    @property
    def scans(self) -> Path:
        """Folder of what scanners have sent, one within it a slide."""
        return self.data / "scans"

    @property
    def site_choice(self) -> Path:
        """File that names the site that slides are read with."""
        return self.data / "site"

    @property
    def uploads(self) -> Path:
        """Folder of uploaded images."""
        return self.data / "uploads"
