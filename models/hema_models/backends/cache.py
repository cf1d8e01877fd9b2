"""Where converted networks are kept, so that a conversion happens once a machine."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

from hema_models.cards import ModelCard

OUTPUTS = "2"
"""Changes with what a converted network puts out."""

CONVERTING = threading.Lock()  # tracing a network is not safe side by side


def converted_path(card: ModelCard, batch: int, suffix: str, version: str) -> Path:
    """Name the cache file of a card's network for one batch size and one version of the converter."""
    root = Path(os.environ.get("HEMA_STREAM_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser())
    key = hashlib.sha256(f"{card.sha256}/{card.model_dump_json()}/{batch}/{version}/{OUTPUTS}".encode()).hexdigest()[
        :20
    ]
    return root / "hema-stream" / f"{card.name}-{batch}-{key}{suffix}"
