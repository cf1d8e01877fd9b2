"""Sites of this machine as the service keeps them: made, learnt, judged, switched on for slides begun afterwards."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import numpy as np
from hema_models.site.choice import choose_site, chosen_site
from hema_models.site.profile import OwnClass, Profile
from hema_models.site.session import Key, cells_to_name, learnt_from, suggestions
from hema_models.site.store import NAME, SUFFIX, SiteStore
from numpy.typing import NDArray

from hema_stream.core.errors import InputError, ModelError
from hema_stream.core.features import FEATURES, CellFeatures, read_features
from hema_stream.service.problems import ProblemError


@dataclass(frozen=True)
class Standing:
    """A version of a site, and where the site stands.

    Attributes:
        versions: oldest first; in_use: the one that is switched on; chosen: whether slides are read with this site.
    """

    profile: Profile
    versions: Sequence[int]
    in_use: int | None
    chosen: bool


@dataclass(frozen=True, eq=False)
class ToName:
    """Cells of a slide for a person to name.

    Attributes:
        rows: (N,) in ``kept``; best, confidence: (M,) of every kept cell, by the network alone.
        own: the site's own classes.
    """

    kept: CellFeatures
    rows: NDArray[np.intp]
    best: NDArray[np.int16]
    confidence: NDArray[np.float32]
    own: Sequence[OwnClass]


class Sites:
    """Calls wait for the disk, and for learning: make them from a thread. One change at a time.

    Args:
        choice: file that names the site that slides are read with; results: folder of slides' results.
    """

    def __init__(self, choice: Path, results: Path) -> None:
        self._choice, self._results = choice, results
        self._store = SiteStore()
        self._changing = threading.Lock()

    def begin_with(self, site: str | None) -> None:
        """Read slides with a site from now on, or with the one that was chosen last where none is named."""
        if site is not None:
            choose_site(self._choice, str(Path(site).resolve()) if site.endswith(SUFFIX) else site)

    def chosen(self) -> str | None:
        """The site that slides are read with, whether a version of it is switched on or not."""
        return chosen_site(self._choice)

    def names(self) -> list[str]:
        """All sites."""
        return self._store.names()

    def standing(self, name: str, version: int | None = None) -> Standing:
        """One site: a version, else the one in use, else the newest.

        Raises:
            ProblemError: 404, there is no such site or version.
        """
        versions, in_use = self._versions(name), self._store.in_use(name)
        shown = in_use if version is None else version
        if shown is not None and shown not in versions:
            raise ProblemError(HTTPStatus.NOT_FOUND, "version", f"site {name} has no version {shown}")
        return Standing(self._store.load(name, shown), versions, in_use, self.chosen() == name)

    def create(self, name: str) -> Standing:
        """Make an empty site.

        Raises:
            ProblemError: 409, there is one of that name. ConfigError: it cannot be a name.
        """
        with self._changing:
            if name in self._store.names():
                raise ProblemError(HTTPStatus.CONFLICT, "site_exists", f"there is a site {name} already")
            self._store.create(name)
        return self.standing(name)

    def to_name(self, slide: str, stream: str, count: int, site: str | None) -> ToName:
        """The most telling cells of a slide, but for those that were named before for a site.

        Raises:
            ProblemError: 404, no such site; 409, no features were kept of the slide.
        """
        kept = self._kept(slide, stream)
        known = None if site is None else self._newest(site).streams.get(stream)
        if known is None or known.network != kept.network:
            return ToName(kept, cells_to_name(kept, count), *suggestions(kept), ())
        named = frozenset(known.reviewed.origins.tolist())
        return ToName(kept, cells_to_name(kept, count, named, slide), *suggestions(kept), known.own)

    def learn(
        self,
        name: str,
        slide: str,
        stream: str,
        names: Mapping[Key, str],
        new: Sequence[str],
        networks: Mapping[str, str],
    ) -> Standing:
        """Learn from named cells of a slide besides what the newest version knows, as a new version.

        Args:
            networks: identities of those that run, by stream.

        Raises:
            ProblemError: 404, no such site; 409, no features were kept of the slide, or of another network.
            HemaError: cells or classes that are not known.
        """
        kept = self._kept(slide, stream)
        if networks.get(stream, kept.network) != kept.network:
            raise ProblemError(
                HTTPStatus.CONFLICT, "network", "the slide was analysed with another network; analyse it again"
            )
        with self._changing:
            learnt = self._store.save(learnt_from(self._newest(name), slide, kept, names, new))
        return self.standing(name, learnt.version)

    def use(self, name: str, version: int | None, networks: Mapping[str, str]) -> Standing:
        """Read slides that are begun afterwards with a version of a site; None switches the site off.

        Raises:
            ProblemError: 404, no such site or version; 409, it was learnt with a network that is not the one that runs.
        """
        with self._changing:
            if version is not None:
                _check(self.standing(name, version).profile, networks)
            self._versions(name)
            self._store.use(name, version)
            if version is not None:
                choose_site(self._choice, name)
        return self.standing(name)

    def _newest(self, name: str) -> Profile:
        self._versions(name)
        return self._store.load(name)

    def _versions(self, name: str) -> list[int]:
        if not NAME.fullmatch(name) or name not in self._store.names():
            raise ProblemError(HTTPStatus.NOT_FOUND, "site", "there is no such site")
        return self._store.versions(name)

    def _kept(self, slide: str, stream: str) -> CellFeatures:
        try:
            kept = read_features(self._results / slide / FEATURES)
        except InputError as error:
            raise ProblemError(HTTPStatus.CONFLICT, "features", f"{error.message}; {error.remedy}") from error
        if kept is None or kept.stream != stream:
            what = f"no features of {stream} cells were kept of this slide"
            raise ProblemError(HTTPStatus.CONFLICT, "features", f"{what}; analyse it again, if it shows such cells")
        return kept


def _check(profile: Profile, networks: Mapping[str, str]) -> None:
    for stream, network in networks.items():
        try:
            profile.stream(stream, network)
        except ModelError as error:
            raise ProblemError(HTTPStatus.CONFLICT, "network", f"{error.message}; {error.remedy}") from error
