"""Labelled cells as windows cut larger than the classifier's crop, so that jitter reads real surroundings."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hema_models.cropping import gather_crops
from hema_models.training.canvas import background_colour
from hema_models.training.fields import KINDS, split_group
from hema_models.training.folds import PIECE, pieces
from hema_stream.core.crops import CropGeometry, load_geometry
from hema_stream.core.errors import ConfigError

WINDOW = 1.6
SMALLEST_UM = 2.0
"""Side under which a box at the border shows too little of a red cell."""
ASSUMED_MPP = {"sickle_uganda": 0.2}
UNSHIPPED = frozenset({"tecom", "cellavision_blog", "bbbc041"})
HEALTHY = "healthy"
"""Label of a red cell of somebody without blood disease: any shape but sickle, and not infected."""


@dataclass(frozen=True)
class Stream:
    """What the labels of a stream's pictures mean.

    Attributes:
        partial: label to the classes that it leaves possible; () stands for all but those after it, see ``excludes``.
        excludes: label to the classes that it rules out.
        dropped: labels that are left out.
    """

    name: str
    partial: dict[str, tuple[str, ...]]
    excludes: dict[str, tuple[str, ...]]
    dropped: frozenset[str]

    @property
    def geometry(self) -> CropGeometry:
        """What the classifier sees of a cell."""
        return load_geometry(self.name)

    def allowed(self, label: str, names: Sequence[str]) -> NDArray[np.bool_]:
        """Which classes a label leaves possible, (C,) bool."""
        if label in self.excludes:
            return np.array([name not in self.excludes[label] for name in names])
        return np.array([name in self.partial.get(label, (label,)) for name in names])


STREAMS = {
    "wbc": Stream("wbc", {"neutrophil": ("neutrophil_segmented", "neutrophil_band")}, {}, frozenset({"platelet"})),
    "rbc": Stream(
        "rbc",
        {},
        {"uninfected": ("malaria_infected",), HEALTHY: ("malaria_infected", "sickle")},
        frozenset({"other"}),
    ),
}


@dataclass(frozen=True, eq=False)
class LabelledCrops:
    """N labelled cells.

    Attributes:
        windows: (N, W, W, 3) uint8 RGB, ``WINDOW`` times the crop's side, at the crop's scale.
        grounds: (N, 3) uint8 background colour.
        labels: N label names; allowed: (N, C) bool, classes that each leaves possible.
        sources, groups: N names; a group stays on one side of a split.
        names: N, picture (and point) for the reader.
    """

    windows: NDArray[np.uint8]
    grounds: NDArray[np.uint8]
    labels: NDArray[np.str_]
    allowed: NDArray[np.bool_]
    sources: NDArray[np.str_]
    groups: NDArray[np.str_]
    names: NDArray[np.str_]

    def __len__(self) -> int:
        """Count the cells."""
        return len(self.labels)


@dataclass(frozen=True)
class Healthy:
    """Fields of people without blood disease, whose red cells are boxed but not graded.

    Attributes:
        coco: COCO file, its pictures beside it.
        labs: the laboratories in it that took only such people.
    """

    coco: Path
    labs: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    path: Path
    name: str
    label: str
    source: str
    group: str
    mpp: float
    centre: tuple[float, float] | None


def load_crops(
    stream: Stream,
    data: Path,
    classes: Sequence[str],
    exclude: Iterable[str] = (),
    piece: int = PIECE,
    healthy: Healthy | None = None,
) -> LabelledCrops:
    """Read the training split of a folder with labels.csv (and chula_rbc12/points.csv for red cells).

    Args:
        exclude: sources to leave out besides those whose licence keeps them from shipped weights.
        piece: fields of a block that stay together; a longer block is cut into consecutive pieces.
        healthy: fields whose red cells are added with the label ``HEALTHY``.

    Raises:
        ConfigError: ``healthy`` names no laboratory of its file.
    """
    left_out = UNSHIPPED | set(exclude)
    known = _rows(stream, data, piece) + (_healthy_rows(healthy) if healthy else [])
    rows = [row for row in known if row.source not in left_out and row.label not in stream.dropped]
    by_path: dict[Path, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        by_path[row.path].append(number)
    geometry = stream.geometry
    side = round(geometry.side_px * WINDOW)
    windows, grounds = np.empty((len(rows), side, side, 3), np.uint8), np.empty((len(rows), 3), np.uint8)
    for path, numbers in by_path.items():
        pixels = _read(path)
        ground = background_colour(pixels)
        middle = (pixels.shape[1] / 2, pixels.shape[0] / 2)
        centres = np.array([rows[n].centre or middle for n in numbers])
        sides = np.array([geometry.side_um * WINDOW / rows[n].mpp for n in numbers])
        windows[numbers] = gather_crops(pixels, centres, sides, side, ground)
        grounds[numbers] = ground
    return LabelledCrops(
        windows,
        grounds,
        np.array([row.label for row in rows]),
        np.array([stream.allowed(row.label, classes) for row in rows]),
        np.array([row.source for row in rows]),
        np.array([row.group for row in rows]),
        np.array([row.name for row in rows]),
    )


def _read(path: Path) -> NDArray[np.uint8]:
    import cv2

    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path}: cannot be read as a picture; check that the data set is complete")
    return np.ascontiguousarray(picture[..., ::-1])


def _rows(stream: Stream, data: Path, piece: int) -> list[_Row]:
    rows = []
    with (data / "labels.csv").open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            mpp = float(row["mpp"] or ASSUMED_MPP.get(row["source"], 0.0))
            if row["split"] == "train" and mpp > 0:
                path = data / row["path"]
                group = _group(row)
                rows.append(_Row(path, row["path"], row["class"], row["source"], group, mpp, None))
    if stream.name == "rbc":
        rows += _points(data / "chula_rbc12", piece)
    return rows


def _group(row: dict[str, str]) -> str:
    source, stem = row["source"], Path(row["path"]).stem
    if source == "bccd":
        return split_group("bccd", row["smear_or_patient"])
    told = row["smear_or_patient"]
    if source == "lmu_aml" and not told:
        return f"{source}/{'_'.join(stem.split('_')[:2])}"  # class code and number of the original picture
    return f"{source}/{told or stem}"


def _points(folder: Path, piece: int) -> list[_Row]:
    """Read the labelled centres."""
    with (folder / "fields.csv").open(newline="", encoding="utf-8") as handle:
        fields = {row["image"]: row for row in csv.DictReader(handle) if row["split"] == "train"}
    piece_of = pieces({name: row["block"] for name, row in fields.items()}, piece)
    with (folder / "points.csv").open(newline="", encoding="utf-8") as handle:
        return [
            _Row(
                folder / row["image"],
                f"{row['image']}#{row['x']},{row['y']}",
                row["class"],
                "chula_rbc12",
                f"chula_rbc12/{piece_of[row['image']]}",
                float(fields[row["image"]]["mpp"]),
                (float(row["x"]), float(row["y"])),
            )
            for row in csv.DictReader(handle)
            if row["image"] in fields
        ]


def _healthy_rows(fields: Healthy) -> list[_Row]:
    """Read the red cells, those too that the border cuts: a part of a round cell is a crescent, and not a sickle."""
    document = json.loads(fields.coco.read_text(encoding="utf-8"))
    images = {image["id"]: image for image in document["images"] if image["lab"] in fields.labs}
    if not images:
        known = ", ".join(sorted({image["lab"] for image in document["images"]}))
        place = f"{fields.coco}: {', '.join(fields.labs)}"
        raise ConfigError("no picture of these laboratories", place=place, remedy=f"--healthy-lab, one of: {known}")
    rows = []
    for annotation in document["annotations"]:
        image = images.get(annotation["image_id"])
        if image is None or KINDS[annotation["category_id"] - 1] != "rbc":
            continue
        x, y, width, height = annotation["bbox"]
        if min(width, height) * float(image["mpp"]) < SMALLEST_UM:
            continue
        centre = (x + width / 2, y + height / 2)
        name = f"{image['file_name']}#{centre[0]:.1f},{centre[1]:.1f}"
        group = split_group(image["lab"], image["file_name"])
        path = fields.coco.parent / image["file_name"]
        rows.append(_Row(path, name, HEALTHY, image["lab"], group, float(image["mpp"]), centre))
    return rows
