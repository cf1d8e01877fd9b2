"""Choosing a back end for a card, or for any OpenVINO or ONNX file of the documented signature."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hema_models.cards import ModelCard, find_card
from hema_stream.core.errors import ModelError

BACKENDS = ("openvino", "torch", "onnxruntime")
PRECISIONS = ("auto", "float32")


class Network(Protocol):
    """A loaded network with a fixed batch."""

    batch: int
    side: int
    identity: str

    def __call__(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Run (batch, side, side, 3) uint8 RGB; return the outputs, float32."""
        ...


def open_network(
    model: str,
    batch: int,
    backend: str = "openvino",
    threads: int = 0,
    device: str = "cpu",
    precision: str = "auto",
) -> Network:
    """Load a network by card name, card path, or path of an ``.xml`` (OpenVINO) or ``.onnx`` file.

    A file of one's own takes (B, 3, S, S) float32 RGB in 0..1. A segmenter returns ultralytics' export: detections
    (B, 4 + 3 + M, A) as x, y, w, h in pixels, three scores in 0..1, M mask coefficients; and prototypes
    (B, M, S/4, S/4).

    Args:
        batch: rows of the padded batch.
        backend: ``openvino``, ``torch`` or ``onnxruntime``; a file of one's own is run by what its ending says,
            except that OpenVINO takes both.
        threads: CPU threads, 0 for the back end's own choice.
        device: torch device; the others run on the CPU.
        precision: ``float32``, or ``auto``, with which OpenVINO takes bfloat16 where the processor has it; the others
            compute in float32.

    Raises:
        ModelError: no such model, back end or precision, missing or altered weights.
    """
    if backend not in BACKENDS:
        raise ModelError("no such back end", place=backend, remedy=f"known: {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise ModelError("no such precision", place=precision, remedy=f"known: {', '.join(PRECISIONS)}")
    path = Path(model)
    if path.suffix in (".xml", ".onnx"):
        return _open_file(path, batch, backend, threads, precision)
    card = find_card(model)
    card.verify()
    return _open_card(card, batch, backend, threads, device, precision)


def _open_card(card: ModelCard, batch: int, backend: str, threads: int, device: str, precision: str) -> Network:
    if backend == "torch":
        from hema_models.backends.torch import TorchNetwork

        return TorchNetwork(card, batch, threads, device)
    if backend == "onnxruntime":
        from hema_models.backends.onnxruntime import OnnxNetwork

        return OnnxNetwork.from_card(card, batch, threads)
    from hema_models.backends.openvino import OpenVinoNetwork

    return OpenVinoNetwork.from_card(card, batch, threads, precision)


def _open_file(path: Path, batch: int, backend: str, threads: int, precision: str) -> Network:
    if not path.is_file():
        raise ModelError("no such file", place=str(path), remedy="give the path of an .xml or .onnx segmenter")
    if backend == "onnxruntime" and path.suffix == ".onnx":
        from hema_models.backends.onnxruntime import OnnxNetwork

        return OnnxNetwork.from_file(path, batch, threads)
    from hema_models.backends.openvino import OpenVinoNetwork

    return OpenVinoNetwork.from_file(path, batch, threads, precision)
