"""Running networks in ONNX Runtime; cards are exported once and cached."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_models.backends.cache import CONVERTING, converted_path
from hema_models.cards import ModelCard
from hema_models.weights.state import identity


class OnnxNetwork:
    """An ONNX Runtime session on the CPU; see ``Network``."""

    def __init__(self, path: Path, batch: int, threads: int, name: str) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        if threads:
            options.intra_op_num_threads = threads
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.identity, self.batch = name, batch
        self.side = int(self._session.get_inputs()[0].shape[2])

    @classmethod
    def from_card(cls, card: ModelCard, batch: int, threads: int) -> OnnxNetwork:
        """Load a card's network, exporting it first where this machine has not done so."""
        import torch

        path = converted_path(card, batch, ".onnx", torch.__version__)
        with CONVERTING:
            if not path.is_file():
                _export(card, batch, path)
        return cls(path, batch, threads, card.sha256)

    @classmethod
    def from_file(cls, path: Path, batch: int, threads: int) -> OnnxNetwork:
        """Load a network of the documented signature."""
        return cls(path, batch, threads, identity(path))

    def __call__(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Run one batch."""
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / np.float32(255)
        outputs: list[Any] = self._session.run(None, {self._input: images})
        return tuple(np.asarray(output, np.float32) for output in outputs)


def _export(card: ModelCard, batch: int, path: Path) -> None:
    import torch

    from hema_models.backends.torch import warm_module

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{os.getpid()}-{path.name}")
    module, zeros = warm_module(card, batch)
    torch.onnx.export(module, (zeros,), str(partial), dynamo=False, input_names=["images"])
    partial.replace(path)
