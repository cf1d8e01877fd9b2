"""State dicts as safetensors: kernels in half precision, normalisation and biases in single."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def load_state(model: Any, path: Path) -> int:
    """Load what fits by name and shape into ``model``, as float32.

    Returns:
        How many tensors were taken. Tensors of another shape (a head with other classes) keep their start values.

    Raises:
        ValueError: nothing fits; the file is of another architecture.
    """
    from safetensors.torch import load_file

    own = model.state_dict()
    stored = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
    fitting = {k: v for k, v in stored.items() if k in own and own[k].shape == v.shape}
    if not fitting:
        raise ValueError(f"{path}: no tensor fits the network; these weights are of another architecture")
    model.load_state_dict(fitting, strict=False)
    return len(fitting)


def save_state(model: Any, path: Path) -> None:
    """Write the state dict: kernels fp16, vectors fp32, counters left out."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (tensor.half() if tensor.ndim > 1 else tensor.float()).contiguous().cpu()
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point()
    }
    partial = path.with_suffix(".partial")
    save_file(tensors, partial)
    partial.replace(path)


def average_states(paths: Sequence[Path], out: Path) -> None:
    """Write the mean of several state dicts of one architecture, trained from one start.

    Such networks lie in one basin, and their mean is often better elsewhere than either (Wortsman et al., ICML 2022).

    Raises:
        ValueError: there are fewer than two, or they differ in tensors or shapes.
    """
    import torch
    from safetensors.torch import load_file, save_file

    states = [load_file(path) for path in paths]
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in states]
    if len(states) < 2 or any(each != shapes[0] for each in shapes):
        raise ValueError("weights to average must be at least two, of one architecture with the same classes")
    mean = {
        name: torch.stack([state[name].float() for state in states]).mean(0).to(tensor.dtype).contiguous()
        for name, tensor in states[0].items()
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".partial")
    save_file(mean, partial)
    partial.replace(out)


def identity(path: Path) -> str:
    """SHA-256 of a weights file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
