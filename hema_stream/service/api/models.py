"""What is said over REST, as models: the source of checks and of the OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hema_stream.core.report import Elsewhere, Flag, Share, SiteReport
from hema_stream.core.units import LEAST_MPP, MOST_MPP
from hema_stream.service.auth import Scope
from hema_stream.service.daemon.standing import FolderStanding
from hema_stream.service.jobs import Job, Origin, Status

Priority = Annotated[int, Field(ge=-100, le=100, description="Higher ones go first; 0 is routine.")]
Mpp = Annotated[
    float, Field(ge=LEAST_MPP, le=MOST_MPP, allow_inf_nan=False, description="Microns a pixel of the image.")
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProblemDocument(_Part):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str = Field(description="Stable, for programs.")


class Submission(_Part):
    """An image that the service can read by itself."""

    path: str = Field(min_length=1, max_length=4096, description="Within the folders that the service may read.")
    name: str | None = Field(None, max_length=255, description="What to call it; the file's name where it is missing.")
    mpp: Mpp | None = None
    priority: Priority = 0


class Urgency(_Part):
    """How urgent a slide is."""

    priority: Priority


class Again(_Part):
    """A further run of a slide's image."""

    mpp: Mpp | None = Field(None, description="Null leaves what was told before.")


class SlideInfo(_Part):
    """A submitted image and where it stands."""

    id: str
    name: str
    status: Status
    origin: Origin
    priority: int
    mpp: float | None = Field(description="As told by the submitter.")
    length: int | None = Field(description="Bytes of an upload; null for a path.")
    width: int | None = Field(description="Level-0 pixels; null before it was opened.")
    height: int | None
    attempts: int
    code: str | None = Field(description="Why it was rejected or failed.")
    message: str | None
    counts: dict[str, int] = Field(description="As in docs/live-protocol.md; those of the moment while it runs.")
    progress: dict[str, int]
    report: str | None = Field(description="Path of report.json, where there is one.")
    sha256: str | None = Field(description="Of report.json.")
    submitted: datetime
    started: datetime | None
    finished: datetime | None

    @classmethod
    def of(cls, job: Job, counts: dict[str, int], progress: dict[str, int]) -> SlideInfo:
        """Show a job; counts and progress are those of the moment, empty where it does not run."""
        facts = job.facts or {}
        return cls(
            id=job.id,
            name=job.name,
            status=Status(job.status),
            origin=Origin(job.origin),
            priority=job.priority,
            mpp=job.mpp,
            length=job.length,
            width=facts.get("width"),
            height=facts.get("height"),
            attempts=job.attempts,
            code=job.code,
            message=job.message,
            counts=counts or job.counts,
            progress=progress or job.progress,
            report=f"/api/v1/slides/{job.id}/report" if job.sha256 else None,
            sha256=job.sha256,
            submitted=job.submitted,
            started=job.started,
            finished=job.finished,
        )


def _split(value: object) -> object:
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


class SlideQuery(_Part):
    """Which slides to list, newest first."""

    status: Annotated[list[Status], BeforeValidator(_split)] = Field([], description="Separated by commas.")
    q: str = Field("", max_length=255, description="Part of the name.")
    before: int | None = Field(None, ge=0, le=2**53, description="`before` of the page that came last.")
    limit: int | None = Field(None, ge=1, le=500)


class SlideList(_Part):
    """A page of slides."""

    slides: list[SlideInfo]
    before: int | None = Field(description="Ask with it for the next page; null on the last one.")


class IngestInfo(_Part):
    """A slide that fields are taken for."""

    slide: str = Field(description="Its id.")
    url: str = Field(description="Path of the WebSocket.")
    protocol: str
    window: int = Field(description="Fields that may be under way before they are tiles; also the first credits.")
    fitted: int = Field(description="Fields that stain and scale are fitted on.")


class RedFigures(_Part):
    """Red cells so far; names as in report.json."""

    total: int
    classified: int = Field(description="Denominator of distribution and abnormal.")
    unknown: int
    cut: int = Field(description="Cells that a border cuts, which are not graded.")
    wanted: int = Field(description="How many the panel wants classified.")
    gradable: bool = Field(description="Whether few enough cells are unknown; where not, percentages are null.")
    gradable_note: str
    unknown_rule: str = Field(description="When a cell is unknown, in words.")
    distribution: dict[str, Share]
    abnormal: Share
    flags: list[Flag]
    candidates: list[Flag] = Field(description="Less than a flag: for the eye.")
    elsewhere: dict[str, Elsewhere]


class WhiteFigures(_Part):
    """The differential so far; names as in report.json."""

    total: int
    classified: int = Field(description="Denominator of percentages.")
    beside: int
    unknown: int
    wanted: int = Field(description="How many the panel wants classified.")
    gradable: bool = Field(description="Whether few enough cells are unknown; where not, percentages are null.")
    gradable_note: str
    unknown_rule: str = Field(description="When a cell is unknown, in words.")
    percentages: dict[str, Share]
    neutrophils_total: Share
    immature_granulocytes: Share
    per_100_wbc: dict[str, float | None]
    flags: list[Flag]
    candidates: list[Flag] = Field(description="Less than a flag: for the eye.")
    elsewhere: dict[str, Elsewhere]


class Figures(_Part):
    """What the counts of the moment come to. A slide under way may change every one of them."""

    cells: int = Field(description="Counted cells that these figures are of.")
    red: RedFigures
    white: WhiteFigures
    site: SiteReport | None = Field(description="What the answers are calibrated to; null for no laboratory.")
    calibration_note: str = Field(description="The same in words, with what to expect.")


class Artefact(_Part):
    """A file of a slide's results."""

    name: str
    media: str
    bytes: int
    url: str


class ArtefactList(_Part):
    """A slide's results."""

    artefacts: list[Artefact]


class TicketRequest(_Part):
    """Which slide is to be followed."""

    slide: str = Field(min_length=1, max_length=40)


class Ticket(_Part):
    """Serves once, in the WebSocket's list of subprotocols as `ticket.<ticket>`."""

    ticket: str
    expires_in: float = Field(description="Seconds.")


class TokenRequest(_Part):
    """A token to be made."""

    name: str = Field(min_length=1, max_length=100)
    scopes: set[Scope] = Field(min_length=1)


class NewToken(_Part):
    """A token's text, which is never told again."""

    token: str


class TokenInfo(_Part):
    """A token without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    created: datetime


class TokenList(_Part):
    """All tokens."""

    tokens: list[TokenInfo]


class Session(_Part):
    """Whose token a request came with."""

    name: str
    scopes: list[Scope]
    kinds: list[str] = Field(description="Endings of names of images that can be uploaded, in small letters.")
    most_bytes: int = Field(description="Size of the largest upload.")


class Health(_Part):
    """Whether the process answers, or the service can work."""

    status: str


class DiskInfo(_Part):
    """Room on the disk that holds the data, bytes."""

    free: int
    total: int
    below: int = Field(description="Free space under which nothing new is begun.")
    enough: int = Field(description="Free space from which it goes on.")
    low: bool = Field(description="Whether nothing new is begun now.")


class FolderInfo(_Part):
    """A watched folder; figures since the start."""

    path: str
    state: str = Field(description="starting, watching, waiting (the disk is low) or unreachable")
    why: str
    claimed: int
    done: int
    failed: int

    @classmethod
    def of(cls, standing: FolderStanding, low: bool) -> FolderInfo:
        """Show a folder, on a disk that is low or not."""
        state = "waiting" if low and standing.state == "watching" else standing.state
        return cls(**{**vars(standing), "path": str(standing.path), "state": state})


class ServiceStatus(_Part):
    """The service at a glance."""

    version: str
    ready: bool = Field(description="Whether slides are worked on, or would be.")
    started: datetime
    uptime: float = Field(description="Seconds.")
    now: datetime
    jobs: dict[str, int] = Field(description="By status.")
    running: list[SlideInfo]
    clients: int = Field(description="WebSockets that follow a slide.")
    disk: DiskInfo
    folders: list[FolderInfo]
