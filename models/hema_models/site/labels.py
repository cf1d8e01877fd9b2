"""Which labels a site learns from, and which of them are classes of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_models.site.learn import LEAST_OF_OWN
from hema_models.site.profile import OwnClass
from hema_models.training.crops import STREAMS
from hema_stream.core.errors import ConfigError
from hema_stream.core.taxonomy import load_taxonomy

NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")


def usable(
    rows: Sequence[dict[str, Any]], stream: str, own: Collection[str], new: Collection[str], place: str
) -> list[dict[str, Any]]:
    """Rows whose class is learnt: of the taxonomy, one that leaves several of it possible, or the site's own.

    Raises:
        ConfigError: a class is not known; it may be made one of the site's own.
    """
    kind = STREAMS[stream]
    known = {*load_taxonomy(stream).names, *kind.partial, *kind.excludes, *own, *new}
    kept = [row for row in rows if row["class"] not in kind.dropped]
    strange = sorted({row["class"] for row in kept} - known)
    if strange:
        remedy = f"correct the names, or make a class of the site's own: --new-class {strange[0] or 'NAME'}"
        raise ConfigError(f"classes that are not known: {', '.join(map(repr, strange))}", place=place, remedy=remedy)
    return kept


def allowed_by(stream: str) -> Callable[[str, Sequence[str]], NDArray[np.bool_]]:
    """What a label of a stream leaves possible, (C,) bool; never a class that is told by measured size alone."""
    measured = [one.name for one in load_taxonomy(stream).classes if one.measured]

    def allowed(label: str, names: Sequence[str]) -> NDArray[np.bool_]:
        return STREAMS[stream].allowed(label, names) & ~np.isin(names, measured)

    return allowed


def names_to_give(stream: str, own: Sequence[OwnClass] = ()) -> list[tuple[str, str]]:
    """Names that a person may give a cell, with their titles: classes, groups of them, and the site's own."""
    known = [one for one in load_taxonomy(stream).classes if not one.measured]
    groups = [name for name, count in Counter(one.parent for one in known).items() if count > 1]
    return [
        *((one.name, one.title) for one in known),
        *((name, f"{name.capitalize()}, not told apart") for name in groups if name in STREAMS[stream].partial),
        *((one.name, one.title) for one in own),
    ]


def new_own_classes(
    rows: Sequence[dict[str, Any]], stream: str, own: Collection[str], new: Collection[str], place: str
) -> list[OwnClass]:
    """Classes of the site's own that these rows bring.

    Raises:
        ConfigError: a name that cannot be one, or that the taxonomy has, or too few cells of it.
    """
    counts = Counter(row["class"] for row in rows)
    for name in new:
        if not NAME.fullmatch(name) or name in load_taxonomy(stream).names or name == "unknown":
            remedy = "small letters, digits and underscores, and no class of the taxonomy"
            raise ConfigError("cannot be a class of a site's own", place=name, remedy=remedy)
        if name not in own and counts[name] < LEAST_OF_OWN:
            what = f"class {name} has {counts[name]} cells; a class of the site's own needs {LEAST_OF_OWN}"
            raise ConfigError(what, place=place, remedy="name more cells of it")
    return [OwnClass(name, name.replace("_", " ").capitalize()) for name in new]
