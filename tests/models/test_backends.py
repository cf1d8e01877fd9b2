"""Back ends: a row's outputs depend on the row alone, and the back ends agree."""

from __future__ import annotations

import numpy as np
import pytest
from hema_models.backends import cache, open_network
from hema_models.backends.torch import build_module
from hema_models.cards import find_card

from hema_stream.core.errors import ModelError

BATCH = {"rbc": 64, "wbc": 16}  # as in configs/profiles/cpu.yaml
BACKENDS = ("openvino", "torch", "onnxruntime")


def pictures(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """Smooth blobs on a pale ground, (N, S, S, 3) uint8."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    radius = rng.uniform(0.2, 0.4, (count, 1, 1))
    inside = 1 / (1 + np.exp(40 * (np.hypot(x, y)[None] - radius)))
    colour = rng.uniform(60, 200, (count, 1, 1, 3))
    return (225 - inside[..., None] * (225 - colour)).astype(np.uint8)


@pytest.mark.parametrize("stream", BATCH)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_row_does_not_depend_on_its_place_nor_its_neighbours(backend: str, stream: str) -> None:
    """Bit for bit: by this the report may say that it is deterministic, however cells were batched."""
    network = open_network(stream, BATCH[stream], backend)
    rng = np.random.default_rng(0)
    rows = pictures(rng, network.batch, network.side)
    whole = network(rows)[0]
    order = rng.permutation(network.batch)
    np.testing.assert_array_equal(network(rows[order])[0], whole[order])
    alone = np.zeros_like(rows)
    alone[3] = rows[0]
    np.testing.assert_array_equal(network(alone)[0][3], whole[0])


@pytest.mark.parametrize("stream", BATCH)
def test_in_float32_openvino_says_what_torch_says(stream: str) -> None:
    networks = [open_network(stream, BATCH[stream], backend, precision="float32") for backend in ("openvino", "torch")]
    rows = pictures(np.random.default_rng(2), BATCH[stream], networks[0].side)
    np.testing.assert_allclose(networks[0](rows)[0], networks[1](rows)[0], atol=1e-3)


def test_a_precision_that_is_not_known_is_refused() -> None:
    with pytest.raises(ModelError, match="float32"):
        open_network("rbc", 1, precision="float16")


@pytest.mark.parametrize("stream", BATCH)
def test_back_ends_agree_on_the_class(stream: str) -> None:
    logits = []
    for backend in BACKENDS:
        network = open_network(stream, BATCH[stream], backend)
        rows = pictures(np.random.default_rng(1), network.batch, network.side)
        logits.append(network(rows)[0])
    clear = np.diff(np.sort(logits[1], axis=1)[:, -2:]).ravel() > 0.3  # bfloat16 moves a logit by a few hundredths
    assert clear.mean() > 0.5
    for other in logits[::2]:
        np.testing.assert_array_equal(other.argmax(1)[clear], logits[1].argmax(1)[clear])


@pytest.mark.parametrize("stream", BATCH)
def test_classifiers_give_the_features_that_their_logits_are_made_of(stream: str) -> None:
    card = find_card(stream)
    head = build_module(card).network.classifier.get_classifier()
    told = []
    for backend in ("openvino", "torch", "onnxruntime"):
        network = open_network(stream, BATCH[stream], backend, precision="float32")
        rows = pictures(np.random.default_rng(3), network.batch, network.side)
        logits, features = network(rows)
        assert logits.shape == (network.batch, len(card.classes))
        made = features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
        np.testing.assert_allclose(made, logits, atol=5e-3)
        told.append(features)
    np.testing.assert_allclose(told[0], told[1], atol=5e-3)
    np.testing.assert_allclose(told[2], told[1], atol=5e-3)


def test_a_change_of_what_networks_put_out_makes_old_conversions_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    card = find_card("wbc")
    before = cache.converted_path(card, 16, ".xml", "1")
    monkeypatch.setattr(cache, "OUTPUTS", "next")
    assert cache.converted_path(card, 16, ".xml", "1") != before
