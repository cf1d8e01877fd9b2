"""What a site makes of a network's answers while slides run: corrected names, and whether a slide is its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hema_models.site.choice import Choice
from hema_models.site.head import answers_of
from hema_models.site.profile import Profile, StreamProfile
from hema_models.site.statistics import LEAST_TOLD, Gathering, distance
from hema_models.site.store import find_profile
from numpy.typing import NDArray

from hema_stream.core.site_use import SiteUse, StreamUse
from hema_stream.core.taxonomy import Taxonomy


@dataclass(frozen=True, eq=False)
class SiteCorrection:
    """A site's part for one stream and one network.

    Attributes:
        learnt: what it knows of the stream; None where it has learnt nothing of it.
    """

    profile: Profile
    stream: str
    learnt: StreamProfile | None

    @classmethod
    def of(cls, site: str, stream: str, network: str) -> SiteCorrection:
        """Read the version in use of a site, or a profile's file.

        Raises:
            ConfigError: no such site, or it is off. ModelError: it was learnt with another network.
        """
        return cls._of_profile(find_profile(site), stream, network)

    @classmethod
    def chosen(cls, choice: Choice, stream: str, network: str) -> SiteCorrection:
        """Read the version that a slide is told of; errors as ``of``."""
        return cls._of_profile(choice.profile(), stream, network)

    @classmethod
    def _of_profile(cls, profile: Profile, stream: str, network: str) -> SiteCorrection:
        return cls(profile, stream, profile.stream(stream, network))

    def taxonomy(self, known: Taxonomy) -> Taxonomy:
        """The stream's classes, the site's own after the others."""
        return known if self.learnt is None else self.learnt.taxonomy(known)

    def correct(self, probabilities: NDArray[np.float32], features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Correct the network's probabilities (N, C) by features (N, F); (N, C + K) with K classes of its own."""
        if self.learnt is None or self.learnt.head is None:
            return probabilities
        return self.learnt.correct(answers_of(probabilities), features)

    def gathering(self) -> Gathering | None:
        """Sums over a slide's cells, to compare it with the site's slides; None where the site has seen none."""
        if self.learnt is None or not self.learnt.slides:
            return None
        return Gathering(len(self.learnt.statistics.mean), len(self.learnt.classes))

    def use(self, known: SiteUse | None) -> SiteUse:
        """What the report says of it, beside what the other stream's classifier says."""
        judged = None if self.learnt is None else self.learnt.judgement
        head = self.learnt is not None and self.learnt.head is not None
        own = StreamUse(head, judged.cells if judged else 0, judged.after if judged and head else None)
        others = {} if known is None else known.streams
        profile = self.profile
        return SiteUse(profile.name, profile.version, profile.identity, {**others, self.stream: own})

    def compared(self, use: SiteUse, gathered: Gathering) -> SiteUse:
        """The same with the slide's distance from the site, where it has cells enough to tell."""
        if self.learnt is None or gathered.cells < LEAST_TOLD:
            return use
        found = distance(gathered.statistics(), self.learnt.statistics)
        if found is None:
            return use
        own = replace(use.streams[self.stream], distance=round(found, 2), limit=round(self.learnt.limit, 2))
        return replace(use, streams={**use.streams, self.stream: own})
