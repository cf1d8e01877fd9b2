"""Running networks in OpenVINO; cards are converted once and cached."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_models.backends.cache import CONVERTING, converted_path
from hema_models.cards import ModelCard
from hema_models.weights.state import identity


class OpenVinoNetwork:
    """A compiled OpenVINO network; see ``Network``.

    Pixels go in as uint8 in the picture's own layout: scaling and transposition are part of the compiled graph.
    """

    def __init__(self, model: Any, batch: int, threads: int, name: str, precision: str) -> None:
        import openvino as ov

        self.identity, self.batch = name, batch
        self.side = int(model.inputs[0].get_partial_shape()[2].get_length())
        settings = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}
        if precision == "float32":
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        if threads:
            settings["INFERENCE_NUM_THREADS"] = str(threads)
        self._request = ov.Core().compile_model(_take_pixels(model, batch), "CPU", settings).create_infer_request()

    @classmethod
    def from_card(cls, card: ModelCard, batch: int, threads: int, precision: str) -> OpenVinoNetwork:
        """Load a card's network, converting it first where this machine has not done so."""
        import openvino as ov

        exact = precision == "float32"
        path = converted_path(card, batch, ".float32.xml" if exact else ".xml", ov.__version__)
        with CONVERTING:
            if not path.is_file():
                _convert(card, batch, path, not exact)
        return cls(ov.Core().read_model(path), batch, threads, card.sha256, precision)

    @classmethod
    def from_file(cls, path: Path, batch: int, threads: int, precision: str) -> OpenVinoNetwork:
        """Load a network of the documented signature."""
        import openvino as ov

        return cls(ov.Core().read_model(path), batch, threads, identity(path), precision)

    def __call__(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Run one batch; the arrays returned are the caller's own."""
        results = self._request.infer([pixels])
        return tuple(np.array(result, np.float32) for result in results.values())


def _convert(card: ModelCard, batch: int, path: Path, halve: bool) -> None:
    """Convert a card's network; weights are stored in float16 where ``halve``, which rounds folded batch norms."""
    import openvino as ov
    import torch

    from hema_models.backends.torch import warm_module

    module, zeros = warm_module(card, batch)
    with torch.no_grad():
        traced = torch.jit.trace(module, zeros, check_trace=False, strict=False)
    model = ov.convert_model(traced, example_input=zeros, input=[tuple(zeros.shape)])
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{os.getpid()}-{path.name}")
    ov.save_model(model, partial, compress_to_fp16=halve)
    partial.with_suffix(".bin").replace(path.with_suffix(".bin"))
    partial.replace(path)


def _take_pixels(model: Any, batch: int) -> Any:
    """Let the graph itself turn (B, S, S, 3) uint8 into (B, 3, S, S) float32 in 0..1."""
    import openvino as ov
    from openvino.preprocess import PrePostProcessor

    side = model.inputs[0].get_partial_shape()[2].get_length()
    model.reshape([batch, 3, side, side])
    steps = PrePostProcessor(model)
    steps.input(0).tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input(0).preprocess().convert_element_type(ov.Type.f32).scale(255.0)
    steps.input(0).model().set_layout(ov.Layout("NCHW"))
    for index in range(len(model.outputs)):
        steps.output(index).tensor().set_element_type(ov.Type.f32)
    return steps.build()
