"""A made-up laboratory: a network that was taught elsewhere, and cells whose features are shifted and stretched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hema_models.calibration import softmax
from hema_models.site.head import answers_of
from hema_models.site.reviewed import Reviewed

FEATURES = 40
CLASSES = ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil", "blast")


@dataclass(frozen=True)
class Laboratory:
    """Cells of CLASSES, and of whatever further classes ``prototypes`` has; the network knows CLASSES alone."""

    prototypes: np.ndarray
    shift: np.ndarray
    stretch: np.ndarray
    noise: float = 1.0

    def cells(self, classes: np.ndarray, seed: int) -> np.ndarray:
        """Features (N, F) float32 of cells of the classes (N,) given by position."""
        rng = np.random.default_rng(seed)
        own = self.prototypes[classes] + rng.normal(0, self.noise, (len(classes), FEATURES))
        return np.asarray(own * self.stretch + self.shift, np.float32)

    def answers(self, features: np.ndarray) -> np.ndarray:
        """The network's log-probabilities (N, C): the nearest prototype, as if there were no shift."""
        known = self.prototypes[: len(CLASSES)]
        logits = features @ known.T - (known**2).sum(axis=1) / 2
        return answers_of(softmax(logits))

    def reviewed(self, each: int, seed: int, classes: tuple[int, ...] = (0, 1, 2, 3, 4, 5)) -> Reviewed:
        """Cells that people named, ``each`` of every class."""
        which = np.repeat(classes, each)
        features = self.cells(which, seed)
        labels = np.array([name_of(c) for c in which])
        origins = np.array([f"{seed}/{number:03d}.png" for number in range(len(which))])
        return Reviewed(features.astype(np.float16), self.answers(features), labels, origins)


def name_of(position: int) -> str:
    return CLASSES[position] if position < len(CLASSES) else "hairy_cell"


def allowed(label: str, names: list[str]) -> np.ndarray:
    return np.array([name == label for name in names])


def table(labels: np.ndarray, own: tuple[str, ...] = ()) -> np.ndarray:
    return np.array([allowed(label, [*CLASSES, *own]) for label in labels.tolist()])


def laboratory(shift: float, seed: int = 0, extra: int = 0) -> Laboratory:
    """A laboratory so far from where the network was taught."""
    rng = np.random.default_rng(seed)
    prototypes = rng.normal(0, 0.5, (len(CLASSES) + extra, FEATURES))
    return Laboratory(prototypes, shift * rng.normal(0, 1, FEATURES), np.exp(0.4 * shift * rng.normal(0, 1, FEATURES)))


def accuracy(answers: np.ndarray, classes: np.ndarray) -> float:
    """Balanced accuracy of answers (N, C) for classes (N,)."""
    right = answers.argmax(axis=1) == classes
    return float(np.mean([right[classes == c].mean() for c in np.unique(classes)]))
