"""Training of the YOLO11 segmenter on packed canvases, within a time that the caller sets."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hema_models.networks import segmenter_network
from hema_models.training.canvas import CanvasComposer
from hema_models.training.fields import deal_folds, load_fields
from hema_models.weights.state import load_state, save_state


@dataclass(frozen=True)
class SegmentRecipe:
    """What is trained and for how long; the defaults are the shipped model's.

    Attributes:
        labs: laboratories whose fields are used; none under a non-commercial or GPL licence.
        folds, fold: the development fold that is held out of training (by run, smear or picture).
        minutes: wall time after which the schedule ends.
        batch, side: canvases a step, and their side in pixels at 0.25 um.
    """

    labs: tuple[str, ...] = ("bccd", "pbc", "raabin")
    folds: int = 5
    fold: int | None = 0
    minutes: float = 60.0
    batch: int = 8
    side: int = 640
    learning_rate: float = 2e-3
    weight_decay: float = 5e-4
    seed: int = 20_26


def train_segmenter(
    coco: Path, start: Path | None, out: Path, recipe: SegmentRecipe, architecture: str, report: Callable[[str], None]
) -> None:
    """Train and write the averaged weights to ``out`` (fp16 safetensors), renewed every ten minutes.

    Args:
        coco: the training COCO file; pictures beside it.
        start: safetensors to begin from: another class count replaces only the class layers; None starts at random.
        architecture: an ultralytics model name, such as ``yolo11n-seg``.
        report: receives one line a progress step.
    """
    import torch

    from hema_models.training.segment_loss import Batch, SegmentLoss

    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    fields = load_fields(coco, recipe.labs)
    dealt = deal_folds([field.group for field in fields], recipe.folds)
    fields = [field for field in fields if dealt[field.group] != recipe.fold]
    composer = CanvasComposer(fields, recipe.side, rng)
    model = segmenter_network(architecture)
    if start:
        report(f"start weights: {load_state(model, start)} tensors taken from {start.name}")
    model = model.to(memory_format=torch.channels_last).train()
    loss_of = SegmentLoss(model)
    optimizer = torch.optim.AdamW(_parameter_groups(model, recipe.weight_decay), lr=recipe.learning_rate)
    average = torch.optim.swa_utils.AveragedModel(model, avg_fn=_moving_average, use_buffers=True)
    began, saved, step = time.monotonic(), time.monotonic(), 0
    running: dict[str, float] = {}
    while (share := (time.monotonic() - began) / (60 * recipe.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, share)
        batch = Batch.collate([composer.compose() for _ in range(recipe.batch)])
        with torch.autocast("cpu", torch.bfloat16):
            predictions = model(batch.images)
        terms = loss_of(predictions, batch)
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        average.update_parameters(model)
        step += 1
        for name, term in terms.items():
            value = float(term.detach())
            running[name] = 0.95 * running.get(name, value) + 0.05 * value
        if step % 20 == 0:
            shown = " ".join(f"{name} {value:.3f}" for name, value in running.items())
            report(f"step {step} at {share:.0%}, {(time.monotonic() - began) / step:.2f} s a step: {shown}")
        if time.monotonic() - saved > 600:
            save_state(average.module, out)
            saved = time.monotonic()
    save_state(average.module, out)
    report(f"{step} steps on {len(fields)} fields; weights in {out}")


def _moving_average(average: Any, current: Any, seen: Any) -> Any:
    """Average over the last 200 steps, over fewer while there are fewer, so that the start weights are forgotten."""
    share = min(0.995, (float(seen) + 1) / (float(seen) + 10))
    return average * share + current * (1 - share)


def _schedule(step: int, share: float) -> float:
    """Warm up over 60 steps, then follow a cosine to a fiftieth over the time given."""
    return min(1.0, (step + 1) / 60) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


def _parameter_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Decay kernels only; biases and normalisation keep their scale."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
