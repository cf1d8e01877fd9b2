"""Mirror images are asked of the cells that the upright view leaves open, and only of those."""

from __future__ import annotations

import numpy as np
import pytest
from hema_models.views import Answers, answer_by_views

WEIGHTS = np.random.default_rng(0).normal(0, 0.05, (8 * 8 * 3, 5))
CROPS = np.random.default_rng(1).integers(0, 255, (6, 8, 8, 3), np.uint8)


class Linear:
    """A linear network that keeps count of the crops it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, pixels: np.ndarray) -> Answers:
        self.asked += len(pixels)
        features = np.asarray(pixels.reshape(len(pixels), 192) / 255, np.float32)
        return Answers(np.asarray(features @ WEIGHTS, np.float32), features)


def test_all_views_are_averaged_so_that_a_mirror_image_gets_the_same_answer() -> None:
    network = Linear()
    answer = answer_by_views(network, CROPS, 4, 1.0).logits
    images = [CROPS, CROPS[:, :, ::-1], CROPS[:, ::-1], CROPS[:, ::-1, ::-1]]
    np.testing.assert_allclose(answer, np.mean([network(i).logits for i in images], axis=0), atol=1e-5)
    np.testing.assert_allclose(answer_by_views(network, CROPS[:, ::-1], 4, 1.0).logits, answer, atol=1e-5)


def test_a_cell_of_which_the_upright_view_is_sure_is_asked_once() -> None:
    network = Linear()
    upright = network(CROPS).logits
    best = np.exp(upright).max(axis=1) / np.exp(upright).sum(axis=1)
    sure = float(np.median(best))
    network.asked = 0
    answer = answer_by_views(network, CROPS, 4, sure).logits
    np.testing.assert_array_equal(answer[best >= sure], upright[best >= sure])
    unsure = best < sure
    np.testing.assert_array_equal(answer[unsure], answer_by_views(Linear(), CROPS[unsure], 4, 1.0).logits)
    assert network.asked == len(CROPS) + 3 * unsure.sum()


@pytest.mark.parametrize(("views", "crops"), [(1, CROPS), (4, CROPS[:0])])
def test_one_view_and_no_crops_are_asked_once(views: int, crops: np.ndarray) -> None:
    network = Linear()
    np.testing.assert_array_equal(answer_by_views(network, crops, views, 1.0).logits, network(crops).logits)
    assert network.asked == 2 * len(crops)


def test_the_green_view_is_averaged_with_the_first_in_answers_and_features() -> None:
    network = Linear()
    both = answer_by_views(network, CROPS, 2, 1.0, "green")
    green = np.repeat(CROPS[..., 1:2], 3, axis=-1)
    np.testing.assert_allclose(both.logits, (network(CROPS).logits + network(green).logits) / 2, atol=1e-5)
    np.testing.assert_allclose(both.features, (network(CROPS).features + network(green).features) / 2, atol=1e-5)
    np.testing.assert_array_equal(network(green).features, answer_by_views(network, green, 2, 1.0, "green").features)
