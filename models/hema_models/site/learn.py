"""Learning a site: from cells that people named, and from its cells at large."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hema_models.site.judge import judge
from hema_models.site.profile import MOST_SLIDES, OwnClass, Profile, StreamProfile
from hema_models.site.reviewed import Reviewed
from hema_models.site.statistics import SlideStatistics, site_statistics

Allowed = Callable[[str, Sequence[str]], NDArray[np.bool_]]
"""Which of the named classes a label leaves possible, (C,) bool."""

LEAST_OF_A_CLASS = 3
LEAST_OF_OWN = 10


def learn(
    profile: Profile,
    stream: str,
    network: str,
    classes: Sequence[str],
    reviewed: Reviewed,
    slides: Sequence[SlideStatistics],
    allowed: Allowed,
    own: Sequence[OwnClass] = (),
) -> Profile:
    """The next version of a profile, with these cells and slides besides those that it has.

    Args:
        network: identity of the weights that features and answers come from; what another network told is let go.
        classes: its classes, in the order of the answers.
        reviewed: cells that people named; slides: statistics of cells at large.
        own: classes of the site's own that labels may name.

    Raises:
        ValueError: there is neither a cell nor a slide to learn from.
    """
    known = profile.streams.get(stream)
    if known is not None and known.network == network:
        reviewed = known.reviewed.joined(reviewed) if len(reviewed) else known.reviewed
        slides = [*known.slides, *slides]
        own = _joined(known.own, own)
    reviewed = reviewed.sorted()
    names = [*classes, *(one.name for one in own)]
    table = np.array([allowed(label, names) for label in reviewed.labels.tolist()], bool).reshape(-1, len(names))
    told = [reviewed.statistics(table[:, : len(classes)])] if len(reviewed) and not slides else []
    statistics = site_statistics([*slides, *told])
    part = StreamProfile(
        network, tuple(classes), tuple(own), tuple(slides[-MOST_SLIDES:]), statistics, reviewed, None, None
    )
    if len(reviewed):
        head, judgement = judge(
            reviewed.answers, statistics.standardise(reviewed.features), table, reviewed.labels
        )
        kept = head if judgement.better or own else None
        part = StreamProfile(
            network, part.classes, part.own, part.slides, statistics, reviewed, kept, judgement
        )
    return profile.with_stream(stream, part)


def _joined(known: Sequence[OwnClass], more: Sequence[OwnClass]) -> tuple[OwnClass, ...]:
    by_name: Mapping[str, OwnClass] = {one.name: one for one in [*known, *more]}
    return tuple(by_name.values())
