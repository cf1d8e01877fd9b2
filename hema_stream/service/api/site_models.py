"""What is said of sites over REST, as models."""

from __future__ import annotations

from typing import Annotated, Literal

from hema_models.site.judge import Judgement
from hema_models.site.profile import StreamProfile
from hema_models.site.store import NAME
from pydantic import BaseModel, ConfigDict, Field

from hema_stream.service.sites import Standing

Stream = Literal["rbc", "wbc"]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SiteRequest(_Part):
    """A site to be made."""

    name: str = Field(pattern=f"^{NAME.pattern}$", description="Of a laboratory, its microscope and its stain.")


class ClassJudgement(_Part):
    """Named cells of one class."""

    cells: int
    before: Share
    after: Share


class JudgementInfo(_Part):
    """What leaving each named cell out in turn shows."""

    cells: int
    right_before: Share = Field(description="Of all named cells, by the network alone.")
    right_after: Share = Field(description="With what was learnt from the others.")
    balanced_before: Share = Field(description="Each class weighs the same; classes of one cell are left out.")
    balanced_after: Share
    calibration_before: float = Field(description="Expected calibration error.")
    calibration_after: float
    better: bool = Field(description="Whether it is worth switching on.")
    classes: dict[str, ClassJudgement]

    @classmethod
    def of(cls, judged: Judgement) -> JudgementInfo:
        """Show a judgement."""
        rows = judged.recalls.values()
        return cls(
            cells=judged.cells,
            right_before=_bounded(sum(n * before for n, before, _ in rows) / max(judged.cells, 1)),
            right_after=_bounded(sum(n * after for n, _, after in rows) / max(judged.cells, 1)),
            balanced_before=judged.before,
            balanced_after=judged.after,
            calibration_before=judged.calibration_before,
            calibration_after=judged.calibration_after,
            better=judged.better,
            classes={
                name: ClassJudgement(cells=n, before=before, after=after)
                for name, (n, before, after) in judged.recalls.items()
            },
        )


class StreamInfo(_Part):
    """What a site knows of one stream's cells."""

    network: str = Field(description="Identity of the weights that it was learnt with.")
    cells: dict[str, int] = Field(description="Named cells by class.")
    slides: int = Field(description="That told what its cells look like at large.")
    own_classes: list[str]
    corrects: bool = Field(description="Whether it corrects the network's answers.")
    judgement: JudgementInfo | None

    @classmethod
    def of(cls, part: StreamProfile) -> StreamInfo:
        """Show a stream's part of a profile."""
        return cls(
            network=part.network,
            cells=dict(sorted(part.reviewed.counts().items())),
            slides=len(part.slides),
            own_classes=[own.name for own in part.own],
            corrects=part.head is not None,
            judgement=None if part.judgement is None else JudgementInfo.of(part.judgement),
        )


class SiteInfo(_Part):
    """A version of a site, and where the site stands."""

    name: str
    version: int
    identity: str = Field(description="SHA-256 of the version's content.")
    versions: list[int]
    in_use: int | None = Field(description="The version that is switched on.")
    chosen: bool = Field(description="Whether the service reads slides with this site.")
    streams: dict[str, StreamInfo]

    @classmethod
    def of(cls, standing: Standing) -> SiteInfo:
        """Show a site."""
        profile = standing.profile
        return cls(
            name=profile.name,
            version=profile.version,
            identity=profile.identity,
            versions=list(standing.versions),
            in_use=standing.in_use,
            chosen=standing.chosen,
            streams={name: StreamInfo.of(part) for name, part in sorted(profile.streams.items())},
        )


class SiteQuery(_Part):
    """Which version; the one in use, else the newest, where none is named."""

    version: int | None = Field(None, ge=0, le=10**6)


class SiteList(_Part):
    """All sites, each by the version in use, else its newest."""

    sites: list[SiteInfo]
    chosen: str | None = Field(description="The site that the service reads slides with.")


class TellingQuery(_Part):
    """Which cells are asked for."""

    stream: Stream = "wbc"
    n: int = Field(25, ge=1, le=200)
    site: str | None = Field(None, max_length=64, description="Leave out cells that were named for it before.")


class TellingCell(_Part):
    """A cell for a person to name."""

    key: tuple[int, int] = Field(description="Tile and index.")
    id: str = Field(description="As in report.json.")
    suggestion: str = Field(description="What the network alone calls it.")
    confidence: Share


class GivenName(_Part):
    """A name that may be given."""

    name: str
    title: str


class TellingCells(_Part):
    """The most telling cells of a slide, in the order in which they are to be shown."""

    slide: str
    stream: Stream
    cells: list[TellingCell]
    of: int = Field(description="Cells of the slide that could have been asked for.")
    names: list[GivenName]


class NamedCell(_Part):
    """A cell and what a person called it."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    key: tuple[Annotated[int, Field(ge=0, lt=2**31)], Annotated[int, Field(ge=0, lt=2**31)]]
    name: str = Field(alias="class", min_length=1, max_length=40)


class Lesson(_Part):
    """Named cells of a slide."""

    slide: str = Field(min_length=1, max_length=40)
    stream: Stream = "wbc"
    names: list[NamedCell] = Field(min_length=1, max_length=1000)
    new_classes: list[Annotated[str, Field(max_length=40)]] = Field(
        [], max_length=20, description="Classes of the site's own that these names bring."
    )


class Switch(_Part):
    """Which version is used for slides begun from now on; null for none."""

    version: int | None = Field(ge=0, le=10**6)


def _bounded(share: float) -> float:
    return min(max(share, 0.0), 1.0)
