"""A session in which a person names cells of one slide, from the features that were kept beside its report."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hema_models.site.labels import allowed_by, new_own_classes, usable
from hema_models.site.learn import learn
from hema_models.site.profile import Profile
from hema_models.site.reviewed import Reviewed
from hema_models.site.statistics import SlideStatistics, slide_statistics
from hema_models.site.telling import most_telling
from hema_stream.core.errors import InputError
from hema_stream.core.features import CellFeatures
from hema_stream.core.taxonomy import load_taxonomy

LEAST_OF_A_SLIDE = 50
"""Cells from which on a slide tells what the site's cells look like at large."""

Key = tuple[int, int]


def suggestions(kept: CellFeatures) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """What the network alone calls each cell: class (N,) in the shipped taxonomy, and its probability (N,)."""
    probabilities = np.exp(kept.answers)
    best = load_taxonomy(kept.stream).best(probabilities)
    return best, probabilities[np.arange(len(best)), best]


def cells_to_name(kept: CellFeatures, count: int, named: Collection[str] = (), slide: str = "") -> NDArray[np.intp]:
    """Rows of the most telling cells, but for those whose origin was named before."""
    origins = [origin_of(slide, key) for key in map(tuple, kept.keys.tolist())]
    open_ = np.flatnonzero([origin not in named for origin in origins])
    best, confidence = suggestions(kept)
    return open_[most_telling(best[open_], confidence[open_], kept.features[open_], count)]


def origin_of(slide: str, key: Key) -> str:
    """Where a named cell came from."""
    return f"{slide}#{key[0]}/{key[1]}"


def learnt_from(
    before: Profile, slide: str, kept: CellFeatures, names: Mapping[Key, str], new: Sequence[str] = ()
) -> Profile:
    """The next version of a site, with named cells of a slide besides what it knows.

    A slide of enough cells also tells what they look like at large, the first time that it is learnt from.

    Args:
        names: key to class; new: classes of the site's own that these names bring.

    Raises:
        InputError: a key that no cell has whose features were kept, or features of other classes.
        ConfigError: a class that is not known, or cannot be one. ModelError: there is nothing to learn from.
    """
    classes = load_taxonomy(kept.stream).names
    if kept.answers.shape[1] != len(classes):
        raise InputError("was analysed with other classes", place=slide, remedy="analyse the slide again")
    known = before.streams.get(kept.stream)
    if known is not None and known.network != kept.network:
        known = None
    has = [one.name for one in known.own] if known else []
    told = [{"class": name, "key": key} for key, name in names.items()]
    rows = usable(told, kept.stream, has, new, slide)
    own = new_own_classes(rows, kept.stream, has, new, slide)
    reviewed = _reviewed(slide, kept, {row["key"]: row["class"] for row in rows})
    seen = known is not None and any(o.startswith(f"{slide}#") for o in known.reviewed.origins.tolist())
    slides = [] if seen else _at_large(kept)
    return learn(before, kept.stream, kept.network, classes, reviewed, slides, allowed_by(kept.stream), own)


def _reviewed(slide: str, kept: CellFeatures, names: Mapping[Key, str]) -> Reviewed:
    places = {(tile, index): row for row, (tile, index) in enumerate(kept.keys.tolist())}
    if strange := [key for key in names if key not in places]:
        what = f"no features are kept of a cell {strange[0][0]}/{strange[0][1]}"
        raise InputError(what, place=slide, remedy="name cells that the service asked for")
    rows = np.array([places[key] for key in names], np.intp)
    origins = np.array([origin_of(slide, key) for key in names], str)
    return Reviewed(kept.features[rows], kept.answers[rows], np.array(list(names.values()), str), origins)


def _at_large(kept: CellFeatures) -> list[SlideStatistics]:
    if len(kept) < LEAST_OF_A_SLIDE:
        return []
    return [slide_statistics(kept.features, np.exp(kept.answers))]
