"""``hema-stream evaluate``: score the product's own stages on labelled pictures."""

from __future__ import annotations

from hema_stream.cli.lazy import LazyGroup

COMMANDS = {
    "detect": "Found cells against boxes and masks: COCO in, COCO results out.",
    "classify": "One cell a picture, cropped as the pipeline crops.",
    "points": "Labelled cell centres within whole fields.",
    "suite": "Every task by laboratory, in one report with plots.",
}

command = LazyGroup(
    "evaluate",
    help="Score the product's own stages on labelled pictures.",
    commands={name: f"hema_stream.cli.evaluate.{name}:command" for name in COMMANDS},
    short=COMMANDS,
)
