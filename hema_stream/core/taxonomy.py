"""Classes of a stream, their parents, colours and thresholds; read from configs/taxonomies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.configs import load_config

SITE_THRESHOLD = 0.6
"""Confidence under which a cell of a class that a site taught is unknown."""


@dataclass(frozen=True)
class CellClass:
    """One class.

    Attributes:
        name: stable identifier.
        title: what a person reads.
        colour: (r, g, b) of contours and legends.
        parent: the group whose summed probability decides first; its own name where it has none.
        abnormal: whether the overlay marks it.
        threshold: calibrated confidence under which a cell is unknown.
        measured: whether it is told by a cell's measured size alone, never by a network.
    """

    name: str
    title: str
    colour: tuple[int, int, int]
    parent: str
    abnormal: bool
    threshold: float
    measured: bool = False

    @classmethod
    def of_site(cls, name: str, title: str, colour: str) -> CellClass:
        """A class that a site taught: it stands alone, and a person looks at it."""
        return cls(name, title, _rgb(colour), name, True, SITE_THRESHOLD)


@dataclass(frozen=True)
class Taxonomy:
    """The ordered classes of one stream."""

    stream: str
    classes: tuple[CellClass, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in order."""
        return tuple(c.name for c in self.classes)

    @property
    def learnt(self) -> tuple[str, ...]:
        """Names of the classes that a network can be trained to tell, in order."""
        return tuple(c.name for c in self.classes if not c.measured)

    def extended(self, more: Sequence[CellClass]) -> Taxonomy:
        """This taxonomy with further classes after its own."""
        return Taxonomy(self.stream, (*self.classes, *more)) if more else self

    def index(self, name: str) -> int:
        """Position of a class; ValueError where there is none of that name."""
        return self.names.index(name)

    def best(self, probabilities: NDArray[np.float32]) -> NDArray[np.int16]:
        """Choose the best leaf of the parent with the largest sum, (N, C) to (N,)."""
        parents = sorted({c.parent for c in self.classes})
        member = np.array([[c.parent == p for c in self.classes] for p in parents], np.float32)
        winner = (probabilities @ member.T).argmax(axis=1)
        inside = np.where(member[winner] > 0, probabilities, -1.0)
        return np.asarray(inside.argmax(axis=1), np.int16)

    def unknown(self, probabilities: NDArray[np.float32], best: NDArray[np.int16]) -> NDArray[np.bool_]:
        """Whether the summed probability of the winner's parent lies under the winner's threshold, (N,) bool."""
        parents = [c.parent for c in self.classes]
        sibling = np.array([[a == b for b in parents] for a in parents], np.float32)
        confidence = (probabilities * sibling[best]).sum(axis=1)
        thresholds = np.array([c.threshold for c in self.classes], np.float32)
        return np.asarray(confidence < thresholds[best])


@cache
def load_taxonomy(stream: str) -> Taxonomy:
    """Read ``taxonomies/<stream>.yaml``."""
    document = load_config(f"taxonomies/{stream}.yaml")
    threshold = float(document["threshold"])
    return Taxonomy(
        stream,
        tuple(
            CellClass(
                name=e["name"],
                title=e.get("title", e["name"].replace("_", " ")),
                colour=_rgb(e["colour"]),
                parent=e.get("parent", e["name"]),
                abnormal=bool(e.get("abnormal", False)),
                threshold=threshold,
                measured=bool(e.get("measured", False)),
            )
            for e in document["classes"]
        ),
    )


def _rgb(code: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(code.lstrip("#"))
    return red, green, blue
