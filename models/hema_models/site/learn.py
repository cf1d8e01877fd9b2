"""Learning a site: from cells that people named, and from its cells at large."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hema_models.site.head import background_of
from hema_models.site.judge import judge
from hema_models.site.profile import MOST_SLIDES, OwnClass, Profile, StreamProfile
from hema_models.site.reviewed import Reviewed
from hema_models.site.statistics import SlideStatistics, site_statistics
from hema_stream.core.errors import ModelError

Allowed = Callable[[str, Sequence[str]], NDArray[np.bool_]]
"""Which of the named classes a label leaves possible, (C,) bool."""

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
        ModelError: there is nothing but cells of the site's own classes, or nothing at all.
    """
    known = profile.streams.get(stream)
    if known is not None and known.network == network:
        reviewed = known.reviewed.joined(reviewed) if len(reviewed) else known.reviewed
        slides, own = [*known.slides, *slides], _joined(known.own, own)
    slides, reviewed = tuple(slides)[-MOST_SLIDES:], reviewed.sorted()
    names = [*classes, *(one.name for one in own)]
    table = np.array([allowed(label, names) for label in reviewed.labels.tolist()], bool).reshape(-1, len(names))
    known_to_it = table[:, : len(classes)]
    if not slides and not known_to_it.any():
        raise ModelError(
            "there is nothing to read the site's own class against",
            place=f"site {profile.name}, {stream}",
            remedy="name cells of other classes too, or add --unlabelled",
        )
    statistics = site_statistics(slides or [reviewed.statistics(known_to_it)])
    head, judgement = None, None
    if len(reviewed):
        standardised = statistics.standardise(reviewed.features)
        background = background_of(statistics) if own else None
        fitted, judgement = judge(reviewed.answers, standardised, table, reviewed.labels, background)
        head = fitted if judgement.better else None
    part = StreamProfile(network, tuple(classes), tuple(own), slides, statistics, reviewed, head, judgement)
    return profile.with_stream(stream, part)


def _joined(known: Sequence[OwnClass], more: Sequence[OwnClass]) -> tuple[OwnClass, ...]:
    by_name: Mapping[str, OwnClass] = {one.name: one for one in [*known, *more]}
    return tuple(by_name.values())
