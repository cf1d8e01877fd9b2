"""Scores against references: pycocotools for average precision, made-up truths for calibration."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hema_models.calibration import (
    expected_calibration_error,
    fit_temperature,
    fit_thresholds,
    risk_coverage,
    softmax,
)
from hema_models.evaluation.classification import balanced_accuracy, macro_f1, right
from hema_models.evaluation.detection import average_precision, match_all, working_point
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def made_up(seed: int) -> tuple[dict, list[dict]]:
    """A COCO document of six pictures, with predictions of which some are right."""
    rng = np.random.default_rng(seed)
    images = [
        {"id": n, "width": 400, "height": 400, "exhaustive_for": ["rbc", "wbc", "platelet"], "ignore": []}
        for n in range(6)
    ]
    annotations, predictions = [], []
    for image in images:
        for _ in range(rng.integers(3, 25)):
            box = np.array([*rng.uniform(0, 350, 2), *rng.uniform(12, 40, 2)])
            category = int(rng.integers(1, 4))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": category,
                    "bbox": box.tolist(),
                    "area": float(box[2] * box[3]),
                    "iscrowd": 0,
                }
            )
            for _ in range(rng.integers(0, 3)):
                moved = box + rng.normal(0, 3, 4)
                predictions.append(
                    {
                        "image_id": image["id"],
                        "category_id": category,
                        "bbox": moved.tolist(),
                        "score": float(rng.random()),
                    }
                )
    categories = [{"id": n, "name": name} for n, name in ((1, "rbc"), (2, "wbc"), (3, "platelet"))]
    return {"images": images, "annotations": annotations, "categories": categories, "info": {}}, predictions


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_pycocotools_own(seed: int) -> None:
    document, predictions = made_up(seed)
    matches = match_all(document, predictions, [i["id"] for i in document["images"]])
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = document
        truth.createIndex()
        scored = COCOeval(truth, truth.loadRes(predictions), "bbox")
        scored.params.iouThrs = np.array([0.5])
        scored.params.maxDets = [2000]
        scored.evaluate()
        scored.accumulate()
    for position, by_image in enumerate(matches.values()):
        reference = scored.eval["precision"][0, :, position, 0, 0].mean()
        assert average_precision(list(by_image.values())) == pytest.approx(reference, abs=1e-9)


def test_what_lies_on_ignored_ground_counts_neither_way() -> None:
    image = {"id": 1, "width": 100, "height": 100, "exhaustive_for": ["rbc"], "ignore": [[50, 0, 50, 100]]}
    label = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}
    found = [
        {"image_id": 1, "category_id": 1, "bbox": box, "score": 0.9} for box in ([10, 10, 20, 20], [60, 10, 20, 20])
    ]
    matches = match_all({"images": [image], "annotations": [label]}, found, [1])
    assert average_precision(list(matches["rbc"].values())) == 1.0
    assert working_point(list(matches["rbc"].values()), 0.5)["precision"] == 1.0
    assert not matches["wbc"]


def test_the_temperature_that_made_the_labels_is_found() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (4000, 6))
    labels = np.array([rng.choice(6, p=p) for p in softmax(logits, 2.0)])
    allowed = labels[:, None] == np.arange(6)
    assert fit_temperature(logits, allowed) == pytest.approx(2.0, rel=0.1)
    probabilities = softmax(logits, 2.0)
    right_ones = probabilities.argmax(1) == labels
    assert expected_calibration_error(probabilities.max(1), right_ones) < 0.03
    assert expected_calibration_error(softmax(logits, 0.5).max(1), right_ones) > 0.1


def test_thresholds_keep_what_is_wanted() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1.0, 3000)
    correct = rng.random(3000) < confidence
    limits = fit_thresholds(confidence, np.zeros(3000, int), correct, 2, wanted=0.8)
    kept = confidence >= limits[0]
    assert correct[kept].mean() == pytest.approx(0.8, abs=0.03)
    assert 0.2 < kept.mean() < 0.95


def test_the_most_confident_are_kept_first() -> None:
    confidence, correct = np.array([0.9, 0.8, 0.4, 0.3]), np.array([True, True, False, False])
    assert risk_coverage(confidence, correct, at=(1.0, 0.5)) == [(1.0, 0.5), (0.5, 0.0)]


def test_a_missed_cell_counts_against_its_label() -> None:
    scores = macro_f1(["target", "target", "normal"], ["target", "missed", "normal"], ["normal", "target"])
    assert scores == {"normal": 1.0, "target": pytest.approx(2 / 3)}
    assert balanced_accuracy(["a", "a", "b"], [True, False, True]) == 0.75


def test_a_partial_label_is_right_where_its_group_is() -> None:
    assert right("neutrophil", "neutrophil_band", "wbc")
    assert not right("neutrophil", "eosinophil", "wbc")
    assert right("uninfected", "target", "rbc")
    assert not right("uninfected", "malaria_infected", "rbc")
