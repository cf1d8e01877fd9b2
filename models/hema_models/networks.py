"""The networks of the product, built without weights: YOLO11 segmenters (ultralytics) and timm classifiers."""

from __future__ import annotations

import logging
import os
from typing import Any

from hema_models.torchvision_ops import ensure_torchvision
from hema_stream.core.errors import ModelError

SEGMENT_KINDS = 3


def segmenter_network(architecture: str) -> Any:
    """Build an ultralytics segmentation network for red cells, white cells and platelets.

    Args:
        architecture: ultralytics' model name without ending, such as ``yolo11n-seg``.

    Raises:
        ModelError: ultralytics is not installed.
    """
    ensure_torchvision()
    # It tells of the settings that it makes before its log can be quietened; standard output belongs to our commands.
    os.environ.setdefault("YOLO_VERBOSE", "false")
    try:
        from ultralytics.cfg import get_cfg
        from ultralytics.nn.tasks import SegmentationModel
        from ultralytics.utils import LOGGER
    except ImportError as error:
        remedy = "pip install ultralytics, or name a segmenter of your own: --set segment.model=FILE.onnx"
        raise ModelError("ultralytics is not installed", place=architecture, remedy=remedy) from error

    LOGGER.setLevel(logging.ERROR)

    model = SegmentationModel(f"{architecture}.yaml", ch=3, nc=SEGMENT_KINDS, verbose=False)
    model.args = get_cfg()
    for parameter in model.parameters():
        parameter.requires_grad = True
    model.model[-1].dfl.conv.weight.requires_grad = False  # the fixed ramp that turns a distribution into a distance
    return model


def classifier_network(architecture: str, classes: int, drop_rate: float = 0.0) -> Any:
    """Build a timm classifier with ``classes`` outputs, weights at random."""
    ensure_torchvision()
    import timm

    return timm.create_model(architecture, pretrained=False, num_classes=classes, drop_rate=drop_rate)
