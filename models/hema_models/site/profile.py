"""A site's profile: one version of what is known of it, immutable, with an identity."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_models.calibration import softmax
from hema_models.site.head import SiteHead
from hema_models.site.judge import Judgement
from hema_models.site.reviewed import Reviewed
from hema_models.site.statistics import SiteStatistics, SlideStatistics, limit_of
from hema_stream.core.errors import ModelError
from hema_stream.core.taxonomy import CellClass, Taxonomy

FORMAT = 1
MOST_SLIDES = 60
"""Slides whose statistics are kept, the newest."""


@dataclass(frozen=True)
class OwnClass:
    """A class of the site's own, which no network was trained for."""

    name: str
    title: str
    colour: str = "#b0006d"


@dataclass(frozen=True, eq=False)
class StreamProfile:
    """What is known of one stream's cells at the site.

    Attributes:
        network: identity of the weights that the features come from.
        classes: the network's classes, in the order of the answers; own: the site's, after them.
        slides: statistics of the slides that were learnt from.
        statistics: of the site, over them.
        reviewed: cells that people named.
        head: fitted on them; None where nothing was named, or where leaving cells out shows no gain.
        judgement: what leaving cells out showed; None where nothing was named.
    """

    network: str
    classes: tuple[str, ...]
    own: tuple[OwnClass, ...]
    slides: tuple[SlideStatistics, ...]
    statistics: SiteStatistics
    reviewed: Reviewed
    head: SiteHead | None
    judgement: Judgement | None

    @property
    def limit(self) -> float:
        """Distance beyond which a slide is taken to be of another laboratory."""
        return limit_of(self.slides)

    def correct(self, answers: NDArray[np.float32], features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Correct the network's log-probabilities (N, C) by its features (N, F).

        Returns:
            Probabilities (N, C + K), K classes of its own after the others; (N, C) where there is no head.
        """
        if self.head is None:
            return np.exp(answers)
        return np.asarray(softmax(self.head.correct(answers, self.statistics.standardise(features))), np.float32)

    def taxonomy(self, known: Taxonomy) -> Taxonomy:
        """The stream's classes with the site's own after them; as they are where no head tells those."""
        if self.head is None:
            return known
        return known.extended([CellClass.of_site(one.name, one.title, one.colour) for one in self.own])


@dataclass(frozen=True, eq=False)
class Profile:
    """One version of a site.

    Attributes:
        name: the site's; version: from 1.
        streams: by ``rbc`` or ``wbc``.
    """

    name: str
    version: int
    streams: Mapping[str, StreamProfile] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """SHA-256 over everything that changes an answer: names, numbers and arrays."""
        digest = hashlib.sha256(json.dumps(_head(self), sort_keys=True).encode())
        for key, array in sorted(_arrays(self).items()):
            digest.update(key.encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def stream(self, name: str, network: str) -> StreamProfile | None:
        """A stream's part for a network; None where nothing was learnt.

        Raises:
            ModelError: it was learnt with another network, whose features mean something else.
        """
        found = self.streams.get(name)
        if found is not None and found.network != network:
            raise ModelError(
                f"was learnt with network {found.network[:12]}, not with {network[:12]}",
                place=f"site {self.name}, version {self.version}, {name}",
                remedy=f"learn it anew: hema-stream site learn {self.name} --stream {name} ...",
            )
        return found

    def with_stream(self, name: str, part: StreamProfile) -> Profile:
        """The next version, with one stream's part replaced."""
        return replace(self, version=self.version + 1, streams={**self.streams, name: part})


def to_bytes(profile: Profile) -> bytes:
    """A profile as a compressed npz with its description as JSON."""
    out = io.BytesIO()
    text = json.dumps({**_head(profile), "identity": profile.identity})
    np.savez_compressed(out, description=np.frombuffer(text.encode(), np.uint8), **_arrays(profile))  # type: ignore[arg-type]
    return out.getvalue()


def from_bytes(content: bytes, place: str) -> Profile:
    """Read what ``to_bytes`` wrote.

    Raises:
        ModelError: it is no profile, of another format, or altered.
    """
    remedy = "export it again: hema-stream site export NAME FILE"
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            told = json.loads(bytes(arrays["description"]))
            if told.get("format") != FORMAT:
                raise ModelError(f"is of format {told.get('format')}, not {FORMAT}", place=place, remedy=remedy)
            streams = {name: _read_stream(name, part, arrays) for name, part in told["streams"].items()}
    except (OSError, ValueError, KeyError, TypeError, EOFError, IndexError) as error:
        raise ModelError(f"is no profile of a site: {error}", place=place, remedy=remedy) from error
    except Exception as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"is no profile of a site: {error}", place=place, remedy=remedy) from error
    profile = Profile(told["name"], told["version"], streams)
    if profile.identity != told.get("identity"):
        raise ModelError("was altered: its content is not that of its identity", place=place, remedy=remedy)
    return profile


def read_profile(path: Path) -> Profile:
    """Read a profile's file; ModelError where it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot be read: {error.strerror}", place=str(path), remedy="hema-stream site list"
        ) from error
    return from_bytes(content, str(path))


def _head(profile: Profile) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": profile.name,
        "version": profile.version,
        "streams": {name: _told(part) for name, part in sorted(profile.streams.items())},
    }


def _told(part: StreamProfile) -> dict[str, Any]:
    return {
        "network": part.network,
        "classes": list(part.classes),
        "own": [asdict(own) for own in part.own],
        "slides": len(part.slides),
        "site_slides": part.statistics.slides,
        "head": None if part.head is None else [part.head.gain, part.head.temperature, part.head.newcomers],
        "judgement": None if part.judgement is None else asdict(part.judgement),
    }


def _arrays(profile: Profile) -> dict[str, NDArray[Any]]:
    out: dict[str, NDArray[Any]] = {}
    for name, part in profile.streams.items():
        for number, slide in enumerate(part.slides):
            for key in ("counts", "means", "within"):
                out[f"{name}/slide{number}/{key}"] = np.asarray(getattr(slide, key), np.float32)
        for key in ("counts", "means", "mean", "deviation"):
            out[f"{name}/site/{key}"] = np.asarray(getattr(part.statistics, key), np.float32)
        for key in ("features", "answers", "labels", "origins"):
            out[f"{name}/reviewed/{key}"] = np.asarray(getattr(part.reviewed, key))
        if part.head is not None:
            for key in ("weights", "bias", "named"):
                out[f"{name}/head/{key}"] = getattr(part.head, key)
    return out


def _read_stream(name: str, told: dict[str, Any], arrays: Any) -> StreamProfile:
    def read(*keys: str) -> list[Any]:
        return [arrays[f"{name}/{key}"] for key in keys]

    slides = tuple(
        SlideStatistics(*read(*(f"slide{number}/{key}" for key in ("counts", "means", "within"))))
        for number in range(told["slides"])
    )
    site = SiteStatistics(told["site_slides"], *read("site/counts", "site/means", "site/mean", "site/deviation"))
    reviewed = Reviewed(*read("reviewed/features", "reviewed/answers", "reviewed/labels", "reviewed/origins"))
    head = None
    if told["head"] is not None:
        head = SiteHead(*read("head/weights", "head/bias", "head/named"), *told["head"])
    judged = told["judgement"]
    if judged is not None:
        recalls = {label: (row[0], row[1], row[2]) for label, row in judged["recalls"].items()}
        judged = Judgement(**{**judged, "recalls": recalls})
    own = tuple(OwnClass(**row) for row in told["own"])
    return StreamProfile(told["network"], tuple(told["classes"]), own, slides, site, reviewed, head, judged)
