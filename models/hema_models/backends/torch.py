"""Running a card's network in torch, on the CPU or on a CUDA device."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_models.cards import ModelCard
from hema_models.networks import classifier_network, segmenter_network
from hema_models.weights.state import load_state


def build_module(card: ModelCard) -> Any:
    """Build a card's network with its weights, in eval mode, as (B, 3, S, S) float32 in 0..1 to a tuple of outputs.

    A classifier gives its logits (B, C) and the features (B, F) that they are made of.
    """
    if card.task == "segment":
        model = segmenter_network(card.architecture)
        head = model.model[-1]
        head.export, head.format = True, "openvino"
    else:
        model = classifier_network(card.architecture, len(card.classes))
    load_state(model, card.path)
    return _normalised(model if card.task == "segment" else _with_features(model), card).eval()


def warm_module(card: ModelCard, batch: int) -> tuple[Any, Any]:
    """Build a card's network and run it once, since a YOLO head lays out its anchors on the first call.

    Returns:
        The module, and the zeros (batch, 3, S, S) that it was run on.
    """
    import torch

    module, zeros = build_module(card), torch.zeros(batch, 3, card.side, card.side)
    with torch.no_grad():
        module(zeros)
    return module, zeros


def _with_features(model: Any) -> Any:
    """Let a timm classifier give its pooled features besides its logits."""
    import torch

    class WithFeatures(torch.nn.Module):
        """Logits and the features before the last layer."""

        def __init__(self) -> None:
            super().__init__()
            self.classifier = model

        def forward(self, images: Any) -> tuple[Any, Any]:
            features = model.forward_head(model.forward_features(images), pre_logits=True)
            return model.get_classifier()(features), features

    return WithFeatures()


def _normalised(model: Any, card: ModelCard) -> Any:
    import torch

    class Normalised(torch.nn.Module):
        """Subtracts the mean and divides by the deviation before the network."""

        def __init__(self) -> None:
            super().__init__()
            self.network = model
            self.register_buffer("mean", torch.tensor(card.mean).view(1, 3, 1, 1))
            self.register_buffer("std", torch.tensor(card.std).view(1, 3, 1, 1))

        def forward(self, images: Any) -> Any:
            return self.network((images - self.mean) / self.std)

    return Normalised()


class TorchNetwork:
    """A card's network in torch; see ``Network``."""

    def __init__(self, card: ModelCard, batch: int, threads: int, device: str) -> None:
        import torch

        if threads:
            torch.set_num_threads(threads)
        self.batch, self.side, self.identity = batch, card.side, card.sha256
        self._device = torch.device(device)
        self._module = build_module(card).to(self._device, memory_format=torch.channels_last)

    def __call__(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Run one batch."""
        import torch

        with torch.inference_mode():
            images = torch.from_numpy(np.ascontiguousarray(pixels)).to(self._device).permute(0, 3, 1, 2)
            outputs = self._module(images.float() / 255)
        parts = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(np.asarray(part.float().cpu().numpy(), np.float32) for part in parts)
