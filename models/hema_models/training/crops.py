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
from hema_models.normalising import REFERENCE_DENSITY, density_table, normalise, red_cell_density
from hema_models.training.canvas import background_colour
from hema_models.training.fields import KINDS, split_group
from hema_models.training.folds import PIECE, pieces
from hema_stream.core.crops import CropGeometry, load_geometry
from hema_stream.core.errors import ConfigError

WINDOW = 1.6
SMALLEST_UM = 2.0
"""Side under which a box at the border shows too little of a red cell."""
ASSUMED_MPP = {"sickle_uganda": 0.2, "tecom": 0.17}
UNSHIPPED = frozenset({"bbbc041"})
LABORATORY = {"lmu_thumbs": "lmu_aml", "nih_fields": "nih_malaria"}
"""Sources that come from the laboratory of another."""
CUT_OUT = frozenset({"nih_malaria"})  # black outside the cell
DARK = 60  # sum of three channels under which a pixel of a cut-out picture is not the cell's
ASPECT, BORDER_PX = 1.12, 2
"""A box under this aspect, clear of the border and of other boxes, holds a round cell that nothing cuts."""
HEALTHY = "healthy"
"""Label of a red cell of somebody without blood disease: any shape but sickle, and not infected."""
ROUND = "round"
"""Label of a round outline, not graded otherwise."""


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
        {"microcyte": ("normal", "spherocyte", "hypochromic"), "macrocyte": ("normal", "hypochromic")},
        {
            "uninfected": ("malaria_infected",),
            HEALTHY: ("malaria_infected", "sickle"),
            ROUND: ("sickle", "teardrop", "ovalocyte", "elliptocyte", "schistocyte", "malaria_infected"),
        },
        frozenset({"other"}),
    ),
}


@dataclass(frozen=True, eq=False)
class LabelledCrops:
    """N labelled cells.

    Attributes:
        windows: (N, W, W, 3) uint8 RGB, ``WINDOW`` times the crop's side, at the crop's scale.
        grounds: (N, 3) uint8 background colour.
        red_cells: (N, 3) float32 optical density of the picture's median red cell; NaN where it shows too few.
        labels: N label names; allowed: (N, C) bool, classes that each leaves possible.
        sources, groups: N names; a group stays on one side of a split.
        names: N, picture (and point) for the reader.
    """

    windows: NDArray[np.uint8]
    grounds: NDArray[np.uint8]
    red_cells: NDArray[np.float32]
    labels: NDArray[np.str_]
    allowed: NDArray[np.bool_]
    sources: NDArray[np.str_]
    groups: NDArray[np.str_]
    names: NDArray[np.str_]

    def __len__(self) -> int:
        """Count the cells."""
        return len(self.labels)

    @property
    def laboratories(self) -> NDArray[np.str_]:
        """(N,) names of the laboratories that the sources come from."""
        return np.array([LABORATORY.get(source, source) for source in self.sources.tolist()])

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N, C) bool, the classes that a cell's laboratory has labels of."""
        laboratories = self.laboratories
        out = np.zeros_like(self.allowed)
        for name in np.unique(laboratories):
            own = laboratories == name
            out[own] = self.allowed[own].any(axis=0)
        return out

    def normalised(self) -> LabelledCrops:
        """The same cells on the reference's ground and at its density; windows are changed in place."""
        for row, (ground, density) in enumerate(zip(self.grounds, self.red_cells, strict=True)):
            table = density_table(ground, None if np.isnan(density).any() else density)
            self.windows[row] = normalise(self.windows[row], table)
            self.grounds[row] = table[ground, np.arange(3)]
        return self


@dataclass(frozen=True)
class Healthy:
    """Fields of people without blood disease, whose red cells are boxed but not graded.

    Attributes:
        coco: COCO file, its pictures beside it.
        labs: the laboratories in it that took only such people.
        ungraded: further laboratories, whose people are not said to be healthy, but not chosen for a disease of red
            cells or malaria either: their round cells are ``ROUND``, the others ``HEALTHY``.
    """

    coco: Path
    labs: tuple[str, ...]
    ungraded: tuple[str, ...] = ()


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
    red_cells = np.full((len(rows), 3), np.nan, np.float32)
    for path, numbers in by_path.items():
        pixels = _read(path)
        if rows[numbers[0]].source in CUT_OUT:
            pixels, ground = _on_ground(pixels)
        else:
            ground = background_colour(pixels)
        density = red_cell_density(pixels, ground)
        if density is not None:
            red_cells[numbers] = density
        middle = (pixels.shape[1] / 2, pixels.shape[0] / 2)
        centres = np.array([rows[n].centre or middle for n in numbers])
        sides = np.array([geometry.side_um * WINDOW / rows[n].mpp for n in numbers])
        windows[numbers] = gather_crops(pixels, centres, sides, side, ground)
        grounds[numbers] = ground
    return LabelledCrops(
        windows,
        grounds,
        red_cells,
        np.array([row.label for row in rows]),
        np.array([stream.allowed(row.label, classes) for row in rows]),
        np.array([row.source for row in rows]),
        np.array([row.group for row in rows]),
        np.array([row.name for row in rows]),
    )


def _on_ground(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Give a cell that was cut out, black around it, the ground on which it has the reference's density."""
    shown = pixels.sum(axis=2, dtype=np.int32) > DARK
    cell = np.median(pixels[shown], axis=0) if shown.any() else np.full(3, 200.0)
    ground = np.clip(cell * 10.0**REFERENCE_DENSITY, 0, 250).astype(np.uint8)
    return np.where(shown[..., None], pixels, ground).astype(np.uint8), ground


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
    images = {image["id"]: image for image in document["images"] if image["lab"] in (*fields.labs, *fields.ungraded)}
    if not images:
        known = ", ".join(sorted({image["lab"] for image in document["images"]}))
        place = f"{fields.coco}: {', '.join(fields.labs)}"
        raise ConfigError("no picture of these laboratories", place=place, remedy=f"--healthy-lab, one of: {known}")
    boxed: dict[int, list[list[float]]] = defaultdict(list)
    kinds: dict[int, list[str]] = defaultdict(list)
    for annotation in document["annotations"]:
        if annotation["image_id"] in images:
            boxed[annotation["image_id"]].append(annotation["bbox"])
            kinds[annotation["image_id"]].append(KINDS[annotation["category_id"] - 1])
    rows = []
    for number, image in images.items():
        boxes = np.array(boxed[number], float).reshape(-1, 4)
        whole = round_and_whole(boxes, image["width"], image["height"])
        for (x, y, width, height), kind, good in zip(boxes.tolist(), kinds[number], whole.tolist(), strict=True):
            if kind != "rbc" or min(width, height) * float(image["mpp"]) < SMALLEST_UM:
                continue
            healthy = image["lab"] in fields.labs
            centre = (x + width / 2, y + height / 2)
            name = f"{image['file_name']}#{centre[0]:.1f},{centre[1]:.1f}"
            label = HEALTHY if not good else "normal" if healthy else ROUND
            group = split_group(image["lab"], image["file_name"])
            path = fields.coco.parent / image["file_name"]
            rows.append(_Row(path, name, label, image["lab"], group, float(image["mpp"]), centre))
    return rows


def round_and_whole(boxes: NDArray[np.float64], width: float, height: float) -> NDArray[np.bool_]:
    """Which boxes hold a round cell that neither the border nor a neighbour cuts, (N,) bool.

    Args:
        boxes: (N, 4) x, y, width, height in pixels of a picture of that size.
    """
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    clear = (corners[:, :2] > BORDER_PX).all(axis=1) & (corners[:, 2:] < np.array([width, height]) - BORDER_PX).all(1)
    aspect = boxes[:, 2:].max(axis=1) / np.maximum(boxes[:, 2:].min(axis=1), 1e-6)
    low = np.maximum(corners[:, None, :2], corners[None, :, :2])
    high = np.minimum(corners[:, None, 2:], corners[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    np.fill_diagonal(shared, 0)
    alone = shared.max(axis=1, initial=0) < 0.15 * boxes[:, 2:].prod(axis=1)
    return np.asarray(clear & (aspect < ASPECT) & alone)
