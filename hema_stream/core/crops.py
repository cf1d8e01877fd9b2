"""Crops for the classifiers, and the labels that come back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.configs import load_config


@dataclass(frozen=True)
class CropGeometry:
    """The square that a stream's classifier sees: its side in microns, and in pixels."""

    side_um: float
    side_px: int


def load_geometry(stream: str) -> CropGeometry:
    """Read a stream's square from configs/crops.yaml."""
    return CropGeometry(**load_config("crops.yaml")[stream])


@dataclass(frozen=True, eq=False)
class Crops:
    """Square pictures of N cells of one stream.

    Attributes:
        stream: ``rbc`` or ``wbc``.
        pixels: (N, S, S, 3) uint8 RGB, of a fixed physical side.
        keys: (N, 2) int32 tile and index.
        widened: (N,) float32, how many times the stream's own side the crop shows; above 1 for a cell too large for it.
    """

    stream: str
    pixels: NDArray[np.uint8]
    keys: NDArray[np.int32]
    widened: NDArray[np.float32]

    def __len__(self) -> int:
        """Count the crops."""
        return len(self.keys)

    def __getitem__(self, rows: slice) -> Crops:
        """Slice by rows, without a copy."""
        return Crops(self.stream, self.pixels[rows], self.keys[rows], self.widened[rows])

    @property
    def rows(self) -> int:
        """Crops, as the runtime counts them."""
        return len(self.keys)

    @property
    def units(self) -> NDArray[np.int32]:
        """What is lost when this is lost: the cells' keys."""
        return self.keys

    @property
    def nbytes(self) -> int:
        """Bytes it holds in a queue."""
        return int(self.pixels.nbytes + self.keys.nbytes + self.widened.nbytes)


@dataclass(frozen=True, eq=False)
class Labels:
    """What a classifier said of N cells.

    Attributes:
        stream: ``rbc`` or ``wbc``.
        keys: (N, 2) int32 tile and index.
        probabilities: (N, C) float32, calibrated, in the taxonomy's order; rows sum to 1.
        best: (N,) int16 class of the best leaf under the best parent.
        unknown: (N,) bool, whether the confidence is under the class's threshold.
        features: (N, F) float16 of the network's last layer but one, where the classifier was told to keep them.
        answers: (N, C) float32, the network's own log-probabilities before a site corrects them, kept with features.
    """

    stream: str
    keys: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    best: NDArray[np.int16]
    unknown: NDArray[np.bool_]
    features: NDArray[np.float16] | None = None
    answers: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Count the labels."""
        return len(self.keys)

    @property
    def rows(self) -> int:
        """Labels, as the runtime counts them."""
        return len(self.keys)

    @property
    def units(self) -> NDArray[np.int32]:
        """The cells' keys."""
        return self.keys

    @property
    def nbytes(self) -> int:
        """Bytes it holds in a queue."""
        own = self.keys.nbytes + self.probabilities.nbytes + self.best.nbytes + self.unknown.nbytes
        return int(own + sum(column.nbytes for column in (self.features, self.answers) if column is not None))

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(N,) probability of the named class."""
        return self.probabilities[np.arange(len(self.best)), self.best]
