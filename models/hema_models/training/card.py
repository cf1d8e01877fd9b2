"""The card of newly trained weights, written beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hema_models.cards import CARD_SUFFIX, ModelCard
from hema_models.training.classify import MEAN, STD
from hema_models.training.fields import CANONICAL_MPP, KINDS
from hema_models.weights.state import identity
from hema_stream.core.crops import load_geometry

INFERENCE_SIDE = 1024


def write_card(
    weights: Path, architecture: str, stream: str | None, classes: tuple[str, ...], licence: str, **more: Any
) -> Path:
    """Write ``<weights>.card.json``, whose path ``segment.model=`` and its like take; stream None is the segmenter."""
    common: dict[str, Any] = {
        "name": weights.stem,
        "architecture": architecture,
        "weights": weights.name,
        "sha256": identity(weights),
        "licence": licence,
        **more,
    }
    if stream is None:
        card = ModelCard(task="segment", classes=list(KINDS), side=INFERENCE_SIDE, mpp=CANONICAL_MPP, **common)
    else:
        geometry = load_geometry(stream)
        card = ModelCard(
            task="classify",
            stream=stream,  # type: ignore[arg-type]
            classes=list(classes),
            side=geometry.side_px,
            mpp=geometry.side_um / geometry.side_px,
            side_um=geometry.side_um,
            mean=MEAN,
            std=STD,
            **common,
        )
    path = weights.with_name(weights.stem + CARD_SUFFIX)
    path.write_text(json.dumps(card.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
    return path
