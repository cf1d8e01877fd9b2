"""Answers to labelled cells, however they were come by: of networks that never saw a laboratory, or of the product."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_models.training.crops import LABORATORY, STREAMS
from hema_stream.core.errors import ConfigError
from hema_stream.core.taxonomy import load_taxonomy

COLUMNS = ("source", "name", "class", "predicted", "confidence", "unknown")


@dataclass(frozen=True, eq=False)
class Answers:
    """N labelled cells and what was said of each.

    Attributes:
        stream: ``rbc`` or ``wbc``.
        groups: (N,) str, whichever run answered; '' where there was one.
        names: (N,) str, picture, and place in it after a #.
        sources: (N,) str; labels: (N,) str, as the data names them.
        predicted: (N,) str, '' or another name that is no class where no cell was found.
        confidence: (N,) float64, 0..1; unknown: (N,) bool.
    """

    stream: str
    groups: NDArray[np.str_]
    names: NDArray[np.str_]
    sources: NDArray[np.str_]
    labels: NDArray[np.str_]
    predicted: NDArray[np.str_]
    confidence: NDArray[np.float64]
    unknown: NDArray[np.bool_]

    def __len__(self) -> int:
        """Count the cells."""
        return len(self.labels)

    @property
    def laboratories(self) -> NDArray[np.str_]:
        """(N,) names of the laboratories that the sources come from."""
        return np.array([LABORATORY.get(source, source) for source in self.sources.tolist()], np.str_)

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """(N, C) bool, classes of the taxonomy that each label leaves possible."""
        names, stream = load_taxonomy(self.stream).names, STREAMS[self.stream]
        by_label = {label: stream.allowed(label, names) for label in set(self.labels.tolist())}
        return np.array([by_label[label] for label in self.labels.tolist()], bool).reshape(-1, len(names))

    @property
    def said(self) -> NDArray[np.int64]:
        """(N,) class that was said; -1 where none was."""
        place = {name: number for number, name in enumerate(load_taxonomy(self.stream).names)}
        return np.array([place.get(name, -1) for name in self.predicted.tolist()], np.int64)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether what was said is among what the label leaves possible, unknown or not."""
        said = self.said
        return np.asarray((said >= 0) & self.allowed[np.arange(len(self)), said])

    def chosen(self, rows: NDArray[np.bool_]) -> Answers:
        """The answers of some cells."""
        return Answers(
            self.stream,
            groups=self.groups[rows],
            names=self.names[rows],
            sources=self.sources[rows],
            labels=self.labels[rows],
            predicted=self.predicted[rows],
            confidence=self.confidence[rows],
            unknown=self.unknown[rows],
        )

    def once(self) -> Answers:
        """The first answer to each cell: a source that no run trained on is answered by all."""
        cells = np.stack([self.sources, self.names, self.labels], axis=1) if len(self) else np.zeros((0, 3), np.str_)
        first = np.unique(cells, axis=0, return_index=True)[1]
        return self.chosen(np.isin(np.arange(len(self)), first))

    def of_labels(self) -> Answers:
        """The answers to cells whose label says something about the stream's classes."""
        dropped = np.isin(self.labels, list(STREAMS[self.stream].dropped))
        return self.chosen(self.allowed.any(axis=1) & ~dropped)


def answers_of(stream: str, rows: Sequence[Mapping[str, Any]]) -> Answers:
    """Answers from rows of text or figures, columns ``COLUMNS`` and group."""
    return Answers(
        stream,
        np.array([row.get("group", "") for row in rows], np.str_),
        np.array([row["name"] for row in rows], np.str_),
        np.array([row["source"] for row in rows], np.str_),
        np.array([row["class"] for row in rows], np.str_),
        np.array([row["predicted"] for row in rows], np.str_),
        np.array([row["confidence"] for row in rows], np.float64),
        np.array([row["unknown"] for row in rows]).astype(np.int64).astype(bool),
    )


def read_answers(table: Path, stream: str) -> Answers:
    """Read a table that ``benchmarks/left_out.py`` wrote, CSV or CSV.gz.

    Raises:
        ConfigError: the file lacks a column; names it.
    """
    content = table.read_bytes()
    text = (gzip.decompress(content) if table.suffix == ".gz" else content).decode("utf-8")
    reader = csv.DictReader(io.StringIO(text))
    lacks = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if lacks:
        remedy = "write it with benchmarks/left_out.py"
        raise ConfigError(f"no column {', '.join(lacks)}", place=str(table), remedy=remedy)
    return answers_of(stream, list(reader)).once()
