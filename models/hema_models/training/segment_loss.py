"""The segmenter's loss: ultralytics' detection terms, blind where labels are missing, and a box-local mask term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hema_models.training.canvas import Canvas
from hema_models.training.fields import MASK_MARGIN, MASK_SIDE

MASK_GRID = 28
MASKS_A_STEP = 768


@dataclass
class Batch:
    """Canvases as tensors.

    Attributes:
        images: (B, 3, S, S) float32 in 0..1.
        index: (N,) canvas of each label; kinds: (N,) long; boxes: (N, 4) xyxy pixels, clipped to what is seen.
        frames: (N, 4) xyxy pixels, unclipped; views: (N, 4) xyxy pixels of the label's field.
        masks: (N, MASK_SIDE, MASK_SIDE) bool; has_mask: (N,) bool.
        known: (B, 3, S/8, S/8) float32, see ``Canvas``.
    """

    images: Tensor
    index: Tensor
    kinds: Tensor
    boxes: Tensor
    frames: Tensor
    views: Tensor
    masks: Tensor
    has_mask: Tensor
    known: Tensor

    @classmethod
    def collate(cls, canvases: list[Canvas]) -> Batch:
        """Stack canvases of one size."""
        pixels = torch.from_numpy(np.stack([c.pixels for c in canvases]))
        counts = torch.tensor([len(c.boxes) for c in canvases])
        return cls(
            images=pixels.permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last),
            index=torch.repeat_interleave(torch.arange(len(canvases)), counts),
            kinds=torch.from_numpy(np.concatenate([c.kinds for c in canvases])),
            boxes=torch.from_numpy(np.concatenate([c.boxes for c in canvases])),
            frames=torch.from_numpy(np.concatenate([c.frames for c in canvases])),
            views=torch.from_numpy(np.concatenate([c.views for c in canvases])),
            masks=torch.from_numpy(np.concatenate([c.masks for c in canvases])),
            has_mask=torch.from_numpy(np.concatenate([c.has_mask for c in canvases])),
            known=torch.from_numpy(np.stack([c.known for c in canvases])),
        )


class _KnownBCE(nn.Module):
    """Binary cross-entropy that leaves out negatives where the kind's cells are not all labelled."""

    def __init__(self) -> None:
        super().__init__()
        self.known: Tensor | None = None

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        loss = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        assert self.known is not None
        return torch.where(targets > 0, loss, loss * self.known)


class SegmentLoss:
    """Box, class, distribution and mask loss of a YOLO segment model on packed canvases."""

    def __init__(self, model: Any) -> None:
        from ultralytics.utils.loss import v8DetectionLoss

        self._detection = v8DetectionLoss(model, tal_topk=10)
        self._bce = _KnownBCE()
        self._detection.bce = self._bce

    def __call__(self, predictions: dict[str, Any], batch: Batch) -> dict[str, Tensor]:
        """Return the weighted terms ``box``, ``kind``, ``dfl`` and ``mask``; their sum is the loss."""
        side = batch.images.shape[-1]
        predictions = {k: v.float() if isinstance(v, Tensor) else v for k, v in predictions.items()}
        self._bce.known = _known_by_anchor(batch.known, predictions["feats"])
        boxes = batch.boxes
        centred = torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], dim=1) / side
        labels = {"batch_idx": batch.index.float(), "cls": batch.kinds.float(), "bboxes": centred}
        (foreground, matched, _, _, _), terms, _ = self._detection.get_assigned_targets_and_loss(predictions, labels)
        mask = self._mask_loss(predictions, batch, foreground, matched)
        return {"box": terms[0], "kind": terms[1], "dfl": terms[2], "mask": mask}

    def _mask_loss(self, predictions: dict[str, Any], batch: Batch, foreground: Tensor, matched: Tensor) -> Tensor:
        """Cross-entropy and Dice of masks read on a grid over each label's box.

        A grid of 28 x 28 points a cell costs a thousandth of the full-frame masks that ultralytics compares.
        """
        prototypes = predictions["proto"]
        coefficients = predictions["mask_coefficient"].permute(0, 2, 1)
        counts = torch.bincount(batch.index, minlength=len(batch.images))
        first = torch.cumsum(counts, 0) - counts
        canvas, anchor = foreground.nonzero(as_tuple=True)
        label = first[canvas] + matched[canvas, anchor].long()
        known = batch.has_mask[label].nonzero(as_tuple=True)[0]
        chosen = known[torch.randperm(len(known))[:MASKS_A_STEP]]
        if not len(chosen):
            nothing: Tensor = prototypes.sum() * 0 + coefficients.sum() * 0
            return nothing
        canvas, anchor, label = canvas[chosen], anchor[chosen], label[chosen]
        points, inside = _grid(batch.frames[label], batch.views[label], batch.images.shape[-1])
        logits = torch.zeros(len(chosen), MASK_GRID * MASK_GRID)
        for image in canvas.unique():
            rows = (canvas == image).nonzero(as_tuple=True)[0]
            sampled = functional.grid_sample(
                prototypes[image : image + 1], points[rows].reshape(1, -1, 1, 2), align_corners=False
            )
            sampled = sampled.reshape(prototypes.shape[1], len(rows), -1)
            logits[rows] = torch.einsum("nc,cnp->np", coefficients[image, anchor[rows]], sampled)
        step = MASK_SIDE // MASK_GRID
        targets = batch.masks[label].float().unfold(1, step, step).unfold(2, step, step).mean((3, 4)).flatten(1)
        weight = inside.float()
        bce = (functional.binary_cross_entropy_with_logits(logits, targets, reduction="none") * weight).sum(
            1
        ) / weight.sum(1).clamp(min=1)
        probability = logits.sigmoid() * weight
        overlap = (probability * targets).sum(1)
        dice = 1 - (2 * overlap + 1) / (probability.sum(1) + (targets * weight).sum(1) + 1)
        return 2.0 * (bce + dice).mean()


def _known_by_anchor(known: Tensor, features: list[Tensor]) -> Tensor:
    """Lay the map of known ground over the anchors of every stride: (B, anchors, 3)."""
    levels = []
    for feature in features:
        factor = known.shape[-1] // feature.shape[-1]
        level = known if factor == 1 else -functional.max_pool2d(-known, factor)
        levels.append(level.flatten(2))
    return torch.cat(levels, dim=2).permute(0, 2, 1)


def _grid(frames: Tensor, views: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Place the grid's points over each frame widened by ``MASK_MARGIN``.

    Returns:
        points (N, G*G, 2) in grid_sample's -1..1, and (N, G*G) bool: whether a point lies where the field is seen.
    """
    centre, sides = (frames[:, :2] + frames[:, 2:]) / 2, (frames[:, 2:] - frames[:, :2]).clamp(min=1) * MASK_MARGIN
    ticks = (torch.arange(MASK_GRID) + 0.5) / MASK_GRID - 0.5
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    offsets = torch.stack([x, y], dim=-1).reshape(1, -1, 2)
    pixels = centre[:, None] + offsets * sides[:, None]
    inside = ((pixels >= views[:, None, :2]) & (pixels < views[:, None, 2:])).all(dim=-1)
    return pixels / side * 2 - 1, inside
