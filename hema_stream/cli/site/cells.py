"""What the product's own pipeline sees of a site's cells: probabilities and features, cropped as it crops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from hema_stream.cli.evaluate.collected import Collected, collect
from hema_stream.cli.evaluate.pictures import inputs_of, pictures
from hema_stream.core.errors import InputError

LEAST_OF_A_SLIDE = 50
"""Cells that make a slide of their own; smaller groups are put together until they have so many."""


@dataclass(frozen=True)
class Asked:
    """How cells are looked at: stream, profile, settings, and microns a pixel where pictures do not say."""

    stream: str
    profile: str
    settings: tuple[str, ...]
    mpp: float | None


@dataclass(frozen=True, eq=False)
class Cells:
    """N cells of one stream as the network saw them, without any site.

    Attributes:
        network: identity of its weights.
        rows: N numbers of the row, or picture, that each comes from.
        probabilities: (N, C) float32 in the taxonomy's order; features: (N, F) float16.
    """

    network: str
    rows: NDArray[np.intp]
    probabilities: NDArray[np.float32]
    features: NDArray[np.float16]

    def __len__(self) -> int:
        """Count the cells."""
        return len(self.rows)


def central_cells(rows: Sequence[dict[str, Any]], asked: Asked) -> Cells:
    """The one cell of each picture that a row names.

    Raises:
        InputError: no picture could be read.
    """
    stages = (f"central.stream={asked.stream}", f"classify.stream={asked.stream}")
    ours = (*stages, *asked.settings, "classify.site=", "classify.keep_features=true")
    collected = collect("central", inputs_of(rows, asked.mpp), asked.profile, ours)
    return _cells(collected, collected.networks["classify"], asked.stream, [row["path"] for row in rows])


def field_cells(folder: Path, asked: Asked) -> tuple[Cells, list[dict[str, Any]]]:
    """Every cell of the stream in the pictures below a folder, and the pictures' rows.

    Raises:
        InputError: it holds no picture, or none that could be read.
    """
    rows = pictures(folder)
    if not rows:
        raise InputError("holds no picture", place=str(folder), remedy="name a folder of pictures", code="empty_folder")
    stage = f"classify_{asked.stream}"
    ours = (*asked.settings, f"{stage}.site=", f"{stage}.keep_features=true")
    collected = collect("points", inputs_of(rows, asked.mpp), asked.profile, ours)
    return _cells(collected, collected.networks[stage], asked.stream, [row["path"] for row in rows]), rows


def _cells(collected: Collected, network: str, stream: str, paths: Sequence[str]) -> Cells:
    for id_, reason in collected.failed.items():
        click.echo(f"no result: {paths[int(id_)]}: {reason}", err=True)
    found = [(int(id_), labels) for id_, items in collected.items.items() for labels in _labels(items, stream)]
    if not found:
        raise InputError("no cell was found", place=paths[0] if paths else "", remedy="look at the lines above")
    found.sort(key=lambda pair: pair[0])
    return Cells(
        network,
        np.concatenate([np.full(len(labels), number, np.intp) for number, labels in found]),
        np.concatenate([labels.probabilities for _, labels in found]),
        np.concatenate([labels.features for _, labels in found]),
    )


def _labels(items: Sequence[Any], stream: str) -> Iterator[Any]:
    """Labels that reached ``collect``, by themselves or within a slide's changes."""
    from hema_stream.core.crops import Labels
    from hema_stream.core.delta import SlideDelta

    for item in items:
        for labels in item.labelled if isinstance(item, SlideDelta) else (item,):
            if isinstance(labels, Labels) and labels.stream == stream and len(labels):
                yield labels


def slides_of(groups: Sequence[str], least: int = LEAST_OF_A_SLIDE) -> list[NDArray[np.intp]]:
    """Deal N cells to slides by the group (smear, patient, picture) of each; small groups are put together.

    Cells without a group are taken in the order in which they come.
    """
    names = np.array([name or f"\x00{number // least:09d}" for number, name in enumerate(groups)])
    out: list[list[int]] = [[]]
    for name in sorted(set(names.tolist())):
        if len(out[-1]) >= least:
            out.append([])
        out[-1] += np.flatnonzero(names == name).tolist()
    if len(out) > 1 and len(out[-1]) < least:
        rest = out.pop()
        out[-1] += rest
    return [np.array(rows, np.intp) for rows in out if rows]
