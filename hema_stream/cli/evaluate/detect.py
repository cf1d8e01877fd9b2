"""``hema-stream evaluate detect``: found cells against boxes, COCO in and out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hema_stream.cli.evaluate.options import FILE, FOLDER, OUTPUT, pipeline_options
from hema_stream.core.slide import InputImage

if TYPE_CHECKING:
    from hema_stream.core.cells import CellTable

LEAST_SCORE = 0.01


@click.command("detect")
@click.option("--coco", type=FILE, required=True, help="COCO file with the labels.")
@click.option("--images", type=FOLDER, required=True, help="Folder of the pictures.")
@click.option("--out", type=OUTPUT, required=True, help="COCO results (JSON).")
@click.option("--lab", "labs", multiple=True, help="Only pictures of this laboratory; may be repeated.")
@click.option("--folds", default=5, show_default=True)
@click.option("--fold", type=int, help="Only this development fold, as 'train segment' deals it.")
@click.option("--threshold", default=0.5, show_default=True, help="Score of the working point.")
@pipeline_options
def command(
    coco: Path,
    images: Path,
    out: Path,
    labs: tuple[str, ...],
    folds: int,
    fold: int | None,
    threshold: float,
    profile: str,
    settings: tuple[str, ...],
    mpp: float | None,
    site: str | None,
) -> None:
    """Score found cells against COCO labels: AP at IoU 0.5 with its interval, by class and laboratory.

    A site corrects names, not what is found: --site only checks that there is one.
    """
    from hema_stream.cli.evaluate.collected import collect
    from hema_stream.cli.site.used import check_site

    check_site(site)
    document = json.loads(coco.read_text(encoding="utf-8"))
    chosen = choose_images(document, labs, folds, fold)
    inputs = [InputImage(str(i["id"]), locate(images, i["file_name"]), mpp or i.get("mpp")) for i in chosen]
    lowered = (f"segment.min_score={LEAST_SCORE}", f"clean.score={LEAST_SCORE}", *settings)
    collected = collect("detect", inputs, profile, lowered)
    predictions = [p for id_, items in collected.items.items() for p in coco_results(int(id_), items)]
    out.write_text(json.dumps(predictions), encoding="utf-8")
    for id_, reason in collected.failed.items():
        click.echo(f"no result: {id_}: {reason}", err=True)
    for line in table(document, predictions, chosen, threshold):
        click.echo(line)


def choose_images(
    document: Mapping[str, Any], labs: Sequence[str], folds: int, fold: int | None
) -> list[Mapping[str, Any]]:
    """Pick pictures by laboratory and development fold."""
    from hema_models.training.fields import deal_folds, split_group

    pictures = [image for image in document["images"] if not labs or image.get("lab") in labs]
    if fold is None:
        return pictures
    groups = {image["id"]: split_group(image["lab"], image["file_name"]) for image in pictures}
    dealt = deal_folds(list(groups.values()), folds)
    return [image for image in pictures if dealt[groups[image["id"]]] == fold]


def locate(folder: Path, file_name: str) -> Path:
    """Join a folder with a COCO file name as written, or with its last part where that is what exists."""
    whole = folder / file_name
    return whole if whole.exists() else folder / Path(file_name).name


def coco_results(image_id: int, items: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Turn a picture's result into COCO results with masks as RLE."""
    for result in items:
        yield from _results(image_id, result.cells, result.slide.height, result.slide.width)


def _results(image_id: int, cells: CellTable, height: int, width: int) -> Iterator[dict[str, Any]]:
    from pycocotools import mask

    for row in range(len(cells)):
        x0, y0, x1, y1 = (float(v) for v in cells.boxes[row])
        polygon = cells.polygon(row).clip(0, (width, height)).ravel().tolist()
        rle = mask.merge(mask.frPyObjects([polygon], height, width))
        yield {
            "image_id": image_id,
            "category_id": int(cells.kind[row]) + 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "score": float(cells.score[row]),
            "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
        }


def table(
    document: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    chosen: Sequence[Mapping[str, Any]],
    threshold: float,
) -> Iterator[str]:
    """Lay out average precision, working point and mask IoU by class and laboratory."""
    from hema_models.evaluation.detection import average_precision, bootstrap_interval, match_all, working_point
    from hema_models.evaluation.masks import mean_mask_iou

    lab_of = {image["id"]: image.get("lab", "") for image in chosen}
    matches = match_all(document, predictions, lab_of)
    yield f"{'class':9}{'laboratory':18}{'images':>7}{'AP50':>8}{'95% interval':>17}{'P':>7}{'R':>7}{'count err':>10}"
    for name, by_image in matches.items():
        for lab in ("all", *sorted(set(lab_of.values()))):
            own = [m for id_, m in by_image.items() if lab in ("all", lab_of[id_])]
            if not own or not sum(m.labels for m in own):
                continue
            low, high = bootstrap_interval(own)
            point = working_point(own, threshold)
            yield (
                f"{name:9}{lab:18}{len(own):>7}{average_precision(own):>8.3f}{f'{low:.3f} to {high:.3f}':>17}"
                f"{point['precision']:>7.3f}{point['recall']:>7.3f}{point['mean_absolute_count_error']:>10.2f}"
            )
    yield ""
    yield f"{'masks':9}{'laboratory':18}{'origin':14}{'cells':>7}{'mask IoU':>10}{'ellipse':>9}"
    for (name, lab, origin), (count, iou, ellipse) in mean_mask_iou(document, predictions, lab_of, threshold).items():
        yield f"{name:9}{lab:18}{origin:14}{count:>7}{iou:>10.3f}{ellipse:>9.3f}"
