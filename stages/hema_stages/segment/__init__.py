"""Finding cells on a tile: a YOLO segmenter, and masks decoded inside each cell's own box."""

from hema_stages.segment.stage import Segment

__all__ = ["Segment"]
