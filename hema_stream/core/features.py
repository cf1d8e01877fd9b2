"""What a network saw of a slide's cells, kept beside its report: a site learns from it without the image."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.errors import InputError

FORMAT = 1
FEATURES = "features.npz"
REMEDY = "analyse the slide again"


@dataclass(frozen=True, eq=False)
class CellFeatures:
    """N counted cells of one stream, in the order of the report.

    Attributes:
        stream: ``rbc`` or ``wbc``; network: identity of the weights.
        rows: (N,) int32 place in the report's list of cells; keys: (N, 2) int32 tile and index.
        features: (N, F) float16 of the network's last layer but one.
        answers: (N, C) float32, the network's own log-probabilities in the taxonomy's order, whatever a site made of
            them.
    """

    stream: str
    network: str
    rows: NDArray[np.int32]
    keys: NDArray[np.int32]
    features: NDArray[np.float16]
    answers: NDArray[np.float32]

    def __len__(self) -> int:
        """Count the cells."""
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """Bytes it holds in a queue."""
        return int(self.rows.nbytes + self.keys.nbytes + self.features.nbytes + self.answers.nbytes)


COLUMNS = tuple(column.name for column in fields(CellFeatures) if column.name not in ("stream", "network"))


def write_features(handle: IO[bytes], kept: CellFeatures) -> None:
    """Write an npz: the columns, and stream and network as JSON; not compressed, for half-random numbers hardly are."""
    told = json.dumps({"format": FORMAT, "stream": kept.stream, "network": kept.network})
    columns: dict[str, Any] = {name: getattr(kept, name) for name in COLUMNS}
    np.savez(handle, description=np.frombuffer(told.encode(), np.uint8), **columns)


def read_features(path: Path) -> CellFeatures | None:
    """Read what ``write_features`` wrote; None where there is no such file.

    Raises:
        InputError: it cannot be read, or is of another format.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            told = json.loads(bytes(arrays["description"]))
            if told["format"] != FORMAT:
                raise InputError(f"is of format {told['format']}, not {FORMAT}", place=str(path), remedy=REMEDY)
            return CellFeatures(told["stream"], told["network"], **{name: arrays[name] for name in COLUMNS})
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"holds no features: {error}", place=str(path), remedy=REMEDY) from error
