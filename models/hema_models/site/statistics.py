"""What a site's cells look like to a network: mean and spread of its features by class, robust to a sick patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LEAST_TOLD = 20
"""Cells of a slide under which it is not compared with a site."""
LEAST_CELLS = 3.0
"""Cells of a class that a slide must have for its mean to count."""
LIMIT, BEYOND = 0.4, 1.5
"""Least distance that is taken for another laboratory's, and how many times the farthest of a site's own slides it is.
Of eleven laboratories' white cells, parts of 50 lie 0.0 to 0.4 from their own and mostly 0.5 to 2 from another's."""
FLOOR = 0.05
"""Share of the mean deviation that is added to each feature's, so that one that hardly varies is not blown up."""


@dataclass(frozen=True, eq=False)
class SlideStatistics:
    """One slide's cells of one stream.

    Attributes:
        counts: (C,) float32 cells by class, each cell shared among classes by its probabilities.
        means: (C, F) float32 mean features of each class; zero where it has no cell.
        within: (F,) float32 variance of features within classes.
    """

    counts: Floats
    means: Floats
    within: Floats


@dataclass(frozen=True, eq=False)
class SiteStatistics:
    """The site's cells over its slides.

    Attributes:
        slides: how many it is taken over.
        counts: (C,) float32 cells by class, over all slides.
        means: (C, F) float32, by class the median over the slides of the slides' means; NaN where no slide has enough.
        mean, deviation: (F,) float32, each class weighing the same however many cells it has.
    """

    slides: int
    counts: Floats
    means: Floats
    mean: Floats
    deviation: Floats

    def standardise(self, features: NDArray[np.floating]) -> Floats:
        """Features (N, F) by the site's own mean and deviation, scaled so that a row's length is about 4."""
        return np.asarray((features - self.mean) / self.deviation * (4 / np.sqrt(len(self.mean))), np.float32)


class Gathering:
    """A slide's cells as they come, in sums alone.

    Args:
        features, classes: how many of each.
    """

    def __init__(self, features: int, classes: int) -> None:
        self.cells = 0
        self._counts, self._sums = np.zeros(classes), np.zeros((classes, features))
        self._best_counts, self._best_sums = np.zeros(classes), np.zeros((classes, features))
        self._squares = np.zeros(features)

    def add(self, features: NDArray[np.floating], shares: NDArray[np.floating]) -> None:
        """Add cells.

        Args:
            features: (N, F); shares: (N, C) probabilities, or one-hot labels where people named the cells. One without
                any share, of a class that the network does not know, is left out.
        """
        rows = shares.sum(axis=1) > 0
        told, shared = np.asarray(features[rows], np.float64), np.asarray(shares[rows], np.float64)
        best = np.eye(shared.shape[1])[shared.argmax(axis=1)]
        self.cells += len(told)
        self._counts += shared.sum(axis=0)
        self._sums += shared.T @ told
        self._best_counts += best.sum(axis=0)
        self._best_sums += best.T @ told
        self._squares += (told**2).sum(axis=0)

    def statistics(self) -> SlideStatistics:
        """What was gathered so far."""
        present = self._counts > 0
        means = np.where(present[:, None], self._sums / np.maximum(self._counts, 1e-6)[:, None], 0)
        about = self._squares - 2 * (self._best_sums * means).sum(axis=0) + self._best_counts @ means**2
        free = max(self.cells - int((self._counts > 0.5).sum()), 1)
        within = np.maximum(about, 0) / free
        return SlideStatistics(self._counts.astype(np.float32), means.astype(np.float32), within.astype(np.float32))


def slide_statistics(features: NDArray[np.floating], shares: NDArray[np.floating]) -> SlideStatistics:
    """Measure one slide's cells (N, F), shared among classes by (N, C); see ``Gathering``."""
    gathering = Gathering(features.shape[1], shares.shape[1])
    gathering.add(features, shares)
    return gathering.statistics()


def site_statistics(slides: Sequence[SlideStatistics]) -> SiteStatistics:
    """Join slides; a slide that is unlike the others moves a median little.

    Raises:
        ValueError: there is no slide.
    """
    if not slides:
        raise ValueError("a site's statistics need a slide")
    counts = np.stack([s.counts for s in slides])
    least = np.minimum(LEAST_CELLS, counts.max(axis=0))  # where no slide has so many, the fullest ones serve
    usable = (counts >= least) & (counts > 0.5)
    every = np.where(usable[..., None], np.stack([s.means for s in slides]), np.nan)
    present = usable.any(axis=0)
    means = np.full(every.shape[1:], np.nan, np.float32)
    means[present] = np.nanmedian(every[:, present], axis=0)
    mean = means[present].mean(axis=0)
    within = np.median(np.stack([s.within for s in slides]), axis=0)
    deviation = np.sqrt(within + means[present].var(axis=0))
    deviation = deviation + FLOOR * deviation.mean() + 1e-6
    return SiteStatistics(len(slides), counts.sum(axis=0), means, mean.astype(np.float32), deviation.astype(np.float32))


def distance(slide: SlideStatistics, site: SiteStatistics) -> float | None:
    """How far a slide's cells lie from the site's, in the site's deviations; None where they share no class.

    The root mean square over features of the difference of class means, less what so few cells differ by chance, as the
    mean over the classes that both have.
    """
    both = (slide.counts >= LEAST_CELLS) & np.isfinite(site.means[:, 0])
    if not both.any():
        return None
    squares = (((slide.means[both] - site.means[both]) / site.deviation) ** 2).mean(axis=1)
    chance = (slide.within / site.deviation**2).mean() / slide.counts[both]
    return float(np.sqrt(np.maximum(squares - chance, 0)).mean())


def distances(slides: Sequence[SlideStatistics]) -> list[float]:
    """How far each slide lies from the others of its site; slides that share no class with those are left out."""
    found = [distance(slide, site_statistics([*slides[:n], *slides[n + 1 :]])) for n, slide in enumerate(slides)]
    return [value for value in found if value is not None]


def limit_of(slides: Sequence[SlideStatistics]) -> float:
    """Distance beyond which a slide is taken for another laboratory's: what the site's own slides reach, and more."""
    own = distances(slides) if len(slides) > 1 else []
    return max(LIMIT, BEYOND * max(own, default=0.0))
