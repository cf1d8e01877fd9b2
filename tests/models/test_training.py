"""Folds, partial labels, crops, jitter and canvases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hema_models.cropping import crop_sides, gather_crops
from hema_models.networks import classifier_network
from hema_models.training.augment import FINE, HARD, MILD, WIDE, centre, jitter
from hema_models.training.canvas import CanvasComposer
from hema_models.training.classify import ClassifyRecipe, Round, partial_loss, train_classifier
from hema_models.training.crops import HEALTHY, ROUND, STREAMS, Healthy, load_crops
from hema_models.training.fields import KINDS, MASK_SIDE, Field, deal_folds
from hema_models.training.folds import PIECE, deal_balanced, pieces
from hema_models.training.styles import mix_styles
from hema_models.weights.state import average_states, save_state
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from hema_stream.core.errors import ConfigError
from hema_stream.core.slide import Scale, ScaleSource
from hema_stream.core.taxonomy import load_taxonomy


class TestFolds:
    @given(st.lists(st.integers(0, 5), min_size=1, max_size=80))
    def test_a_piece_is_at_most_eight_consecutive_fields_of_one_block(self, blocks: list[int]) -> None:
        named = {f"{n:04d}": str(b) for n, b in enumerate(blocks)}
        members: dict[str, list[str]] = {}
        for name, piece in pieces(named).items():
            members.setdefault(piece, []).append(name)
        for names in members.values():
            assert len(names) <= PIECE
            assert len({named[n] for n in names}) == 1
            own = sorted(n for n in named if named[n] == named[names[0]])
            start = own.index(min(names))
            assert sorted(names) == own[start : start + len(names)]

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=120), st.integers(2, 5))
    def test_a_group_stays_together_and_the_order_does_not_matter(
        self, rows: list[tuple[int, int]], folds: int
    ) -> None:
        labels, groups = [str(a) for a, _ in rows], [str(b) for _, b in rows]
        dealt = deal_balanced(labels, groups, folds)
        assert all(len({int(f) for f, g in zip(dealt, groups, strict=True) if g == group}) == 1 for group in groups)
        again = deal_balanced(labels[::-1], groups[::-1], folds)[::-1]
        np.testing.assert_array_equal(again, dealt)

    def test_classes_balance(self) -> None:
        rng = np.random.default_rng(0)
        groups = [f"g{n // 4}" for n in range(400)]
        labels = [str(rng.integers(3)) for _ in groups]
        dealt = deal_balanced(labels, groups, 5)
        for label in "012":
            counts = np.bincount(dealt[np.array(labels) == label], minlength=5)
            assert counts.min() > 0.7 * counts.mean()

    def test_every_fold_sees_each_laboratory(self) -> None:
        dealt = deal_folds([f"{lab}/{n}" for lab in "ab" for n in range(10)], 5)
        assert all({dealt[f"{lab}/{n}"] for n in range(10)} == set(range(5)) for lab in "ab")


class TestPartialLabels:
    def test_a_neutrophil_without_stage_is_either(self) -> None:
        names = load_taxonomy("wbc").names
        logits = torch.randn(1, len(names))
        allowed = torch.from_numpy(STREAMS["wbc"].allowed("neutrophil", names))[None]
        p = logits.softmax(1)[0]
        expected = -torch.log(p[names.index("neutrophil_segmented")] + p[names.index("neutrophil_band")])
        assert partial_loss(logits, allowed).item() == pytest.approx(expected.item(), rel=1e-5)

    def test_uninfected_is_anything_but_infected(self) -> None:
        names = load_taxonomy("rbc").names
        logits = torch.randn(1, len(names))
        allowed = torch.from_numpy(STREAMS["rbc"].allowed("uninfected", names))[None]
        infected = logits.softmax(1)[0, names.index("malaria_infected")]
        assert partial_loss(logits, allowed).item() == pytest.approx(-torch.log(1 - infected).item(), rel=1e-4)

    def test_a_red_cell_of_the_healthy_is_any_shape_but_sickle_and_not_infected(self) -> None:
        names = load_taxonomy("rbc").names
        allowed = STREAMS["rbc"].allowed(HEALTHY, names)
        assert {name for name, possible in zip(names, allowed, strict=True) if not possible} == {
            "sickle",
            "malaria_infected",
        }


def test_red_cells_of_the_healthy_laboratories_are_read_those_at_the_border_too(tmp_path: Path) -> None:
    (tmp_path / "chula_rbc12").mkdir()
    (tmp_path / "chula_rbc12" / "fields.csv").write_text("image,split,block,mpp\n")
    (tmp_path / "chula_rbc12" / "points.csv").write_text("image,x,y,class\n")
    (tmp_path / "labels.csv").write_text("path,class,source,smear_or_patient,split,mpp\n")
    pixels = np.full((100, 100, 3), 220, np.uint8)
    pixels[40:60, 40:60] = (200, 80, 80)
    boxes = {1: [(40, 40, 20, 20), (90, 0, 10, 30), (98, 50, 2, 40)], 2: [(10, 10, 30, 30)]}
    annotations = [
        {"image_id": image, "category_id": kind, "bbox": list(box)}
        for image in (1, 2)
        for kind, own in boxes.items()
        for box in own
    ]
    images = [
        {"id": image, "file_name": f"{lab}.png", "lab": lab, "mpp": 0.3, "width": 100, "height": 100}
        for image, lab in ((1, "well"), (2, "unknown"))
    ]
    for image in images:
        Image.fromarray(pixels).save(tmp_path / str(image["file_name"]))
    coco = tmp_path / "coco.json"
    coco.write_text(json.dumps({"images": images, "annotations": annotations}))
    crops = load_crops(STREAMS["rbc"], tmp_path, load_taxonomy("rbc").names, healthy=Healthy(coco, ("well",)))
    assert crops.names.tolist() == ["well.png#50.0,50.0", "well.png#95.0,15.0"]
    assert crops.labels.tolist() == ["normal", HEALTHY]  # the second is cut by the border
    others = load_crops(STREAMS["rbc"], tmp_path, load_taxonomy("rbc").names, healthy=Healthy(coco, (), ("well",)))
    assert others.labels.tolist() == [ROUND, HEALTHY]  # of people of whom nothing is told
    assert set(crops.groups.tolist()) == {"well/well"}
    middle = crops.windows.shape[1] // 2
    assert crops.windows[0, middle, middle].tolist() == [200, 80, 80]
    with pytest.raises(ConfigError, match="well"):
        load_crops(STREAMS["rbc"], tmp_path, load_taxonomy("rbc").names, healthy=Healthy(coco, ("pbc",)))


class TestCrops:
    scale = Scale(0.1, ScaleSource.GIVEN)

    def test_a_large_cell_widens_its_square_and_the_factor_is_kept(self) -> None:
        boxes = np.array([[0, 0, 100, 60], [0, 0, 200, 240]], float)
        sides, widened = crop_sides(boxes, self.scale, 20.0)
        np.testing.assert_allclose(sides, [20.0, 30.0])
        np.testing.assert_allclose(widened, [1.0, 1.5])

    def test_pixels_on_the_grid_are_copied_and_what_lies_outside_is_ground(self) -> None:
        pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
        ground = np.array([200, 210, 220], np.uint8)
        crop = gather_crops(pixels, np.array([[10.0, 20.0]]), np.array([30.0]), 30, ground)[0]
        np.testing.assert_array_equal(crop[:, 5:], pixels[5:35, :25])
        np.testing.assert_array_equal(crop[:, :5], np.broadcast_to(ground, (30, 5, 3)))

    def test_shrinking_averages(self) -> None:
        checks = np.indices((64, 64)).sum(0) % 2 * np.uint8(200)
        pixels = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
        crop = gather_crops(pixels, np.array([[32.0, 32.0]]), np.array([64.0]), 32, np.zeros(3, np.uint8))
        np.testing.assert_allclose(crop, 100, atol=1)


@pytest.mark.parametrize("how", [FINE, HARD, MILD, WIDE])
def test_jitter_is_repeatable_and_changes_something(how: object) -> None:
    window = np.random.default_rng(0).integers(0, 255, (116, 116, 3), np.uint8)
    ground = np.full(3, 220, np.uint8)
    one = jitter(window, ground, 72, how, np.random.default_rng(1))  # type: ignore[arg-type]
    assert one.shape == (72, 72, 3)
    np.testing.assert_array_equal(one, jitter(window, ground, 72, how, np.random.default_rng(1)))  # type: ignore[arg-type]
    assert (one != centre(window[None], 72)[0]).any()


class TestCanvas:
    def field(self, rng: np.random.Generator, exhaustive: tuple[bool, bool, bool]) -> Field:
        boxes = rng.uniform(0, 170, (12, 2))
        boxes = np.concatenate([boxes, boxes + rng.uniform(10, 30, (12, 2))], axis=1).astype(np.float32)
        return Field(
            name="f",
            lab="l",
            group="l/f",
            pixels=rng.integers(100, 255, (200, 200, 3), np.uint8),
            boxes=boxes,
            kinds=rng.integers(0, 3, 12),
            masks=np.ones((12, MASK_SIDE, MASK_SIDE), bool),
            has_mask=np.ones(12, bool),
            ignore=np.array([[0, 0, 50, 50]], np.float32),
            exhaustive=np.array(exhaustive),
        )

    def test_labels_lie_where_their_field_is_seen(self) -> None:
        rng = np.random.default_rng(0)
        composer = CanvasComposer([self.field(rng, (True, True, True)) for _ in range(3)], 320, rng)
        for _ in range(20):
            canvas = composer.compose()
            assert len(canvas.boxes) == len(canvas.frames) == len(canvas.views) == len(canvas.masks)
            assert (canvas.boxes[:, :2] >= canvas.views[:, :2] - 1e-3).all()
            assert (canvas.boxes[:, 2:] <= canvas.views[:, 2:] + 1e-3).all()
            assert (canvas.boxes[:, 2:] > canvas.boxes[:, :2]).all()

    def test_a_kind_that_is_not_labelled_whole_is_unknown_ground(self) -> None:
        rng = np.random.default_rng(0)
        composer = CanvasComposer([self.field(rng, (True, False, False))], 320, rng)
        canvas = composer.compose()
        wbc, rbc = KINDS.index("wbc"), KINDS.index("rbc")
        assert canvas.known[wbc].mean() < canvas.known[rbc].mean()
        assert (canvas.known[rbc] == 0).any()  # the ignore box


def test_each_round_of_training_begins_where_the_last_one_ended(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["path,class,source,smear_or_patient,split,mpp"]
    for number in range(8):
        name = ("lymphocyte", "monocyte")[number % 2]
        Image.fromarray(rng.integers(0, 255, (60, 60, 3), np.uint8)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{name},made,{number},train,0.4")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    first, second = Round(1, (FINE,)), Round(1, (HARD,))
    weights, said = {}, []
    for rounds in ((first,), (first, second)):
        out = tmp_path / f"{len(rounds)}.safetensors"
        recipe = ClassifyRecipe(rounds, batch=4, folds=2, fold=0, learning_rate=1e-5)
        classes = ("lymphocyte", "monocyte")
        _, held, logits = train_classifier(
            "wbc", tmp_path, classes, None, out, recipe, "mobilenetv3_small_050", said.append
        )
        assert logits.shape == (len(held), 2)
        weights[len(rounds)] = load_file(out)["conv_stem.weight"].float()
    assert [line for line in said if line.startswith("round")] == ["round 1 of 1", "round 1 of 2", "round 2 of 2"]
    assert 0 < float((weights[2] - weights[1]).abs().max()) < 0.01


def test_styles_are_swapped_in_training_alone_and_the_copy_keeps_none_of_it() -> None:
    model = classifier_network("mobilenetv2_100", 3).train()
    mix_styles(model, 1.0)
    seen: list[Any] = []
    model.blocks[2].register_forward_hook(lambda module, inputs, outputs: seen.append(inputs[0].detach()))
    pictures = torch.rand(4, 3, 64, 64) * torch.arange(1, 5).view(4, 1, 1, 1)
    for bn in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        bn.eval()  # so that nothing but the styles can differ between two runs
    torch.manual_seed(1)
    model(pictures)
    torch.manual_seed(2)
    model(pictures)
    assert not torch.allclose(seen[0], seen[1])
    assert seen[0].shape == seen[1].shape
    model.eval()
    with torch.inference_mode():
        assert torch.equal(model(pictures), model(pictures))


def test_averaged_weights_lie_in_the_middle(tmp_path: Path) -> None:
    paths = []
    for number in range(2):
        torch.manual_seed(number)
        paths.append(tmp_path / f"{number}.safetensors")
        save_state(classifier_network("mobilenetv2_100", 3), paths[-1])
    average_states(paths, tmp_path / "mean.safetensors")
    one, two, mean = (load_file(path) for path in (*paths, tmp_path / "mean.safetensors"))
    assert all(torch.allclose(mean[k].float(), (one[k].float() + two[k].float()) / 2, atol=1e-3) for k in one)
    with pytest.raises(ValueError, match="at least two"):
        average_states(paths[:1], tmp_path / "none.safetensors")
